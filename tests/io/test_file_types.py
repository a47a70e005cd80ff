"""A file of another type than its name claims is rejected with its actual type and what to do."""

import gzip
import io
import json
import subprocess
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from titles.core.errors import InputError
from titles.io.file_discovery import titles_file
from titles.io.file_types import first_bytes, transcode_to_utf8

CSV = b"title,category\nmesa,TABLES\n"
ROWS = [{"title": "mesa", "category": "TABLES"}, {"title": "silla", "category": "CHAIRS"}]
# 60 titles, every third with a character beyond ASCII.
ACCENTED = "title\n" + "".join(f"{('café', 'mesa', 'silla')[n % 3]} {n}\n" for n in range(60))


def workbook(inner: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(inner, "<workbook/>")
    return stream.getvalue()


def error_message(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        titles_file(path)
    return str(error.value).removeprefix(f"{path} ").replace(f"{path.parent}/", "")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", gzip.compress(CSV, mtime=0), "is compressed; rename it: mv a.csv a.csv.gz"),
        ("a.jsonl", pa.compress(CSV, "zstd", asbytes=True), "is compressed; rename it: mv a.jsonl a.jsonl.zst"),
        ("a.csv.gz", gzip.compress(gzip.compress(CSV, mtime=0), mtime=0), "is compressed twice; unpack it once"),
        ("a.csv", workbook("a.csv"), "is a zip archive; unpack it"),
        ("a.csv", b"Rar!\x1a\x07\x01", "is a RAR archive; unpack it"),
        ("a.tsv", b"PAR1\x15", "is Parquet; rename it, so that its name ends in .parquet"),
        ("a.csv", b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS; fetch the file"),
        ("a.csv", b"\n<!DOCTYPE html><html>", "is a web page or XML; download the file of titles itself"),
        ("a.csv", b'{"title": "mesa"}\n', "is JSON Lines; rename it, so that its name ends in .jsonl"),
        ("a.csv", "title\nmesa\n".encode("utf-32"), "is UTF-32; convert it: iconv -f UTF-32 -t UTF-8 a.csv > "),
    ],
)
def test_the_actual_type_and_what_to_do_are_reported(tmp_path: Path, name: str, content: bytes, message: str):
    assert error_message(tmp_path / name, content).startswith(message)


@pytest.mark.parametrize("name", ["a.csv", "a b$.csv", "a.csv.gz"])
def test_windows_1252_is_rejected_with_the_command_that_converts_it(tmp_path: Path, name: str):
    content = ACCENTED.encode("cp1252")
    message = error_message(tmp_path / name, gzip.compress(content) if name.endswith("gz") else content)
    description, command = message.split("; convert it: ")
    assert description == "is not UTF-8, but probably Windows-1252"
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    converted = (tmp_path / name).read_bytes()
    assert (gzip.decompress(converted) if name.endswith("gz") else converted).decode() == ACCENTED
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("indent", [None, 2])
def test_json_that_is_not_json_lines_is_rejected_with_the_command_that_converts_it(tmp_path: Path, indent: int | None):
    array = json.dumps(ROWS, indent=indent)
    objects = "\n".join(json.dumps(row, indent=2) for row in ROWS)
    assert error_message(tmp_path / "a.jsonl", array.encode()) == (
        "is one JSON array; write one object per line: jq -c '.[]' a.jsonl > a.jsonl.converted && "
        "mv -f a.jsonl.converted a.jsonl"
    )
    assert "is one JSON array; write one object per line: jq -c '.[]' a.json " in error_message(
        tmp_path / "a.json", array.encode()
    )
    assert "JSON objects over several lines; write one object per line: jq -c . a.jsonl" in error_message(
        tmp_path / "a.jsonl", objects.encode()
    )


@pytest.mark.parametrize(
    ("name", "content", "command"),
    [
        ("a.xlsx", workbook("xl/workbook.xml"), "pip install openpyxl && python -c CODE a.xlsx a.csv"),
        ("A.XLSX", b"", "pip install openpyxl && python -c CODE A.XLSX A.csv"),
        ("a.xls", b"\xd0\xcf\x11\xe0", "pip install xlrd && python -c CODE a.xls a.csv"),
        (
            "a.csv",
            workbook("xl/workbook.xml"),
            "mv a.csv a.xlsx && pip install openpyxl && python -c CODE a.xlsx a.csv",
        ),
        ("a.csv", b"PK\x03\x04 damaged", "mv a.csv a.xlsx && pip install openpyxl && python -c CODE a.xlsx a.csv"),
        (
            "a b.csv",
            b"\xd0\xcf\x11\xe0",
            "mv 'a b.csv' 'a b.xls' && pip install xlrd && python -c CODE 'a b.xls' 'a b.csv'",
        ),
    ],
)
def test_a_workbook_is_rejected_with_the_command_that_converts_it(
    tmp_path: Path, name: str, content: bytes, command: str
):
    code = (
        '"import pandas, sys; '
        'pandas.read_excel(sys.argv[1], dtype=str, na_filter=False).to_csv(sys.argv[2], index=False)"'
    )
    message = error_message(tmp_path / name, content).replace(code, "CODE")
    assert message == f"is an Excel workbook; convert its first sheet: {command}; then move the workbook away"


@pytest.mark.parametrize(
    "content",
    [
        ACCENTED.encode() + b"caf\xe9\n" * 3,
        b"title\n" + b"mesa\n" * 99 + b"caf\xe9\n",
        b"title\n" + b"mesa\n" * 999 + b"caf\xe9\n" * 9,
        b"title\n" + ACCENTED.encode() * 9 + b"\xc3",
    ],
)
def test_a_few_invalid_lines_do_not_reject_the_file(tmp_path: Path, content: bytes):
    (tmp_path / "a.csv").write_bytes(content)
    assert titles_file(tmp_path / "a.csv").names == {"title": "title"}


@settings(deadline=None)
@given(text=st.text(st.characters(codec="utf-8"), max_size=99), size=st.sampled_from([4, 7, 64]))
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8", "utf-8-sig"])
def test_any_text_of_utf_16_becomes_utf_8(encoding: str, text: str, size: int):
    content = f"title{text}".encode(encoding)
    stream = transcode_to_utf8(io.BufferedReader(io.BytesIO(content), size))  # type: ignore[type-var]
    assert first_bytes(stream).decode("utf-8-sig") == f"title{text}"


def test_first_bytes_returns_the_bytes_before_a_damage():
    class Damaged(io.BytesIO):
        def read(self, _size: int | None = -1) -> bytes:
            if piece := super().read(3):
                return piece
            raise OSError("damaged")

    assert first_bytes(Damaged(b"title,")) == b"title,"
    with pytest.raises(OSError, match="damaged"):
        first_bytes(Damaged(b""))
