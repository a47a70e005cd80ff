import bz2
import csv
import gzip
import io
import json
import os
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from titles.core.errors import InputError
from titles.io import readers
from titles.io.columns import ColumnMapping, ColumnNames
from titles.io.csv_reader import REPEATED_HEADER
from titles.io.file_discovery import find_files, titles_file
from titles.io.records import COLUMNS, INVALID_UTF8, NO_VALUES, Row
from titles.io.source_file import SourceFile, inspect_file

ROWS = [
    {"title": 'Mesa "redonda", de pino', "category": "TABLES", "language": "spanish", "label_quality": "reliable"},
    {"title": "Fogão\n5 bocas", "category": "STOVES", "language": "portuguese", "label_quality": "unreliable"},
]
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".zst": lambda content: pa.compress(content, "zstd", asbytes=True),
}
CSV = "title,category\nmesa,TABLES\n"
LONG_CSV = b"title,category\n" + b"".join(b"mesa %d,TABLES\n" % (number**5) for number in range(20_000))


def encode_rows(rows: list[dict[str, object]], format_name: str) -> bytes:
    table = pd.DataFrame(rows, columns=None if rows else ["title", "category"])
    if format_name == "csv":
        return table.to_csv(index=False, quoting=csv.QUOTE_ALL).encode()
    if format_name == "jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    stream = io.BytesIO()
    table.to_parquet(stream)
    return stream.getvalue()


def write_files(folder: Path, files: dict[str, str | bytes]) -> Path:
    """Write `files` by their names and return the folder."""
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def rows_in(file: SourceFile) -> Iterator[Row]:
    for batch in file.batches():
        for row in batch.to_pylist():
            yield Row(row["line"], tuple(row[column] for column in COLUMNS), row["fault"])


def rows_of(folder: Path, name: str, content: str | bytes) -> list[Row]:
    return [row for file in find_files(write_files(folder, {name: content})) for row in rows_in(file)]


def titles_and_categories(rows: list[Row]) -> list[tuple[str | None, str | None]]:
    title, category = COLUMNS.index("title"), COLUMNS.index("category")
    return [(row.values[title], row.values[category]) for row in rows]


@pytest.mark.parametrize(
    "name",
    [*(f"train.{kind}{compression}" for kind in ("csv", "jsonl") for compression in COMPRESS), "train.parquet"],
)
def test_every_format_and_compression_gives_the_same_rows(tmp_path: Path, name: str):
    _, kind, *compression = name.split(".")
    content = COMPRESS["." + compression[0] if compression else ""](encode_rows(ROWS, kind))
    first_line = 2 if kind == "csv" else 1
    assert rows_of(tmp_path, name, content) == [
        Row(first_line, (None, *ROWS[0].values())),
        Row(first_line + 1, (None, *ROWS[1].values())),
    ]


@settings(deadline=None, max_examples=50)
@given(rows=st.lists(st.fixed_dictionaries({"title": st.text(), "category": st.text()}), min_size=1))
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_any_text_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, kind: str, rows: list[dict[str, str]]
):
    read = rows_of(tmp_path_factory.mktemp("raw"), f"train.{kind}", encode_rows(rows, kind))
    assert titles_and_categories(read) == [(row["title"], row["category"]) for row in rows]


@pytest.mark.parametrize("extension", [".gz", ".bz2", ".zst"])
def test_a_compressed_file_of_several_members_is_read_to_its_end(tmp_path: Path, extension: str):
    content = COMPRESS[extension](CSV.encode()) + COMPRESS[extension](b"silla,CHAIRS\n")
    read = rows_of(tmp_path, f"train.csv{extension}", content)
    assert titles_and_categories(read) == [("mesa", "TABLES"), ("silla", "CHAIRS")]


@pytest.mark.parametrize("cut", ["half of it", "the last bytes"])
@pytest.mark.parametrize("extension", [".gz", ".bz2", ".zst"])
def test_a_truncated_compressed_file_is_rejected(tmp_path: Path, extension: str, cut: str):
    complete = COMPRESS[extension](LONG_CSV)
    content = complete[: len(complete) // 2] if cut == "half of it" else complete[:-4]
    with pytest.raises(InputError, match=rf"train.csv{extension}: damaged"):
        rows_of(tmp_path, f"train.csv{extension}", content)


def test_the_last_complete_line_of_a_truncated_file_is_reported(tmp_path: Path):
    complete = gzip.compress(LONG_CSV)
    [file] = find_files(write_files(tmp_path, {"train.csv.gz": complete[: len(complete) // 2]}))
    read: list[Row] = []
    with pytest.raises(InputError) as error:
        read.extend(rows_in(file))
    assert f"damaged or cut short after line {read[-1].line} " in str(error.value)


def test_files_with_prefixes_are_read_together(tmp_path: Path):
    files = {
        "portuguese.train.csv": CSV,
        "spanish.train.jsonl": '{"title": "silla", "category": "CHAIRS"}\n',
        "spanish.validation.csv": CSV,
        "train.csv": CSV,
    }
    found = find_files(write_files(tmp_path, files))
    assert [(file.path.name, file.split) for file in found] == [
        ("portuguese.train.csv", "train"),
        ("spanish.train.jsonl", "train"),
        ("spanish.validation.csv", "validation"),
        ("train.csv", "train"),
    ]


@pytest.mark.parametrize(
    ("prefix", "split"), [("retrain", "train"), ("latest", "test"), ("invalidation", "validation")]
)
def test_a_prefix_may_end_as_the_split_does(tmp_path: Path, prefix: str, split: str):
    found = find_files(write_files(tmp_path, {"train.csv": CSV, f"{prefix}.{split}.csv": CSV}))
    assert [(file.path.name, file.split, file.format) for file in found if file.path.name != "train.csv"] == [
        (f"{prefix}.{split}.csv", split, "csv")
    ]


@pytest.mark.parametrize(
    ("content", "split"),
    [(CSV, "test"), ("id,title,category\n1,mesa,TABLES\n", "test"), ("id,title\n1,mesa\n", "unlabelled")],
)
def test_a_test_file_without_categories_is_unlabelled(tmp_path: Path, content: str, split: str):
    found = find_files(write_files(tmp_path, {"test.csv": content, "train.csv": CSV}))
    assert [file.split for file in found] == [split, "train"]


def test_the_files_of_dvc_and_git_are_skipped_silently(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    files = {".gitignore": "/train.csv\n", "train.csv": CSV, "train.csv.dvc": "outs:\n", "notes.dvc": "outs:\n"}
    assert [file.path.name for file in find_files(write_files(tmp_path, files))] == ["train.csv"]
    assert caplog.messages == []


@pytest.mark.parametrize("name", ["README.md", "training.csv", "sample_submission.csv"])
def test_other_files_are_skipped_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str):
    assert [file.path.name for file in find_files(write_files(tmp_path, {name: CSV, "train.csv": CSV}))] == [
        "train.csv"
    ]
    assert [(record.levelname, name in record.message) for record in caplog.records] == [("WARNING", True)]


@pytest.mark.parametrize(
    "name",
    [".train.csv.swp", "train.csv~", "~$train.csv", "#train.csv#", ".#train.csv", ".~lock.train.csv#", ".DS_Store"],
)
def test_hidden_files_and_those_of_editors_are_skipped_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
):
    found = find_files(write_files(tmp_path, {name: "\0\0", "train.csv": CSV}))
    assert [file.path.name for file in found] == ["train.csv"]
    assert caplog.messages == [f"skipped {tmp_path / name}: a hidden file or a temporary file of an editor"]


def test_folders_with_other_names_are_skipped(tmp_path: Path):
    (tmp_path / "old").mkdir()
    assert [file.path.name for file in find_files(write_files(tmp_path, {"train.csv": CSV}))] == ["train.csv"]


@pytest.mark.parametrize("name", ["Train.CSV", "SPANISH.TRAIN.csv", "train.Tsv", "TRAIN.CSV.GZ"])
def test_upper_case_in_the_name_of_a_file_does_not_matter(tmp_path: Path, name: str):
    content = CSV.replace(",", "\t").encode() if "Tsv" in name else CSV.encode()
    content = gzip.compress(content) if name.endswith("GZ") else content
    assert titles_and_categories(rows_of(tmp_path, name, content)) == [("mesa", "TABLES")]


def write_parquet_folder(folder: Path, *files: list[tuple[str, str]]) -> Path:
    """Write a folder of Parquet files as Spark does, one file for each list of rows."""
    folder.mkdir()
    schema = pa.schema([("title", pa.string()), ("category", pa.string())])
    for number, rows in enumerate(files):
        table = pa.table(list(zip(*rows, strict=True)) or [[], []], schema)
        pq.write_table(table, folder / f"part-{number:05}.snappy.parquet")
    for name in ("_SUCCESS", "._SUCCESS.crc", ".part-00000.snappy.parquet.crc", "_metadata"):
        (folder / name).write_bytes(b"")
    return folder


def test_a_folder_of_parquet_files_is_read_in_the_order_of_their_names_with_lines_counted_through_all_files(
    tmp_path: Path,
):
    write_parquet_folder(tmp_path / "train.parquet", [], [("mesa", "A"), ("silla", "B")], [], [("sofa", "C")])
    (file,) = find_files(tmp_path)
    assert [(row.line, *titles_and_categories([row])[0]) for row in rows_in(file)] == [
        (1, "mesa", "A"),
        (2, "silla", "B"),
        (3, "sofa", "C"),
    ]
    assert [path.name for path in file.paths] == [f"part-0000{number}.snappy.parquet" for number in range(4)]


@pytest.mark.parametrize("name", ["test.parquet", "Spanish.Test.parquet"])
def test_a_folder_of_parquet_files_is_a_test_file_too(tmp_path: Path, name: str):
    write_parquet_folder(tmp_path / name, [("mesa", "TABLES")])
    assert {file.split for file in find_files(write_files(tmp_path, {"train.csv": CSV}))} == {"train", "test"}


def test_a_folder_without_rows_is_rejected(tmp_path: Path):
    write_parquet_folder(tmp_path / "train.parquet", [], [])
    (file,) = find_files(tmp_path)
    with pytest.raises(InputError, match=r"train\.parquet has no rows"):
        list(rows_in(file))


def test_a_path_named_as_a_split_that_cannot_be_read_is_rejected(tmp_path: Path):
    write_files(tmp_path, {"train.csv": CSV})

    def error_message() -> str:
        with pytest.raises(InputError) as error:
            find_files(tmp_path)
        return str(error.value).removeprefix(f"{tmp_path}/")

    (tmp_path / "test.csv.dvc").write_text("outs:\n")
    assert error_message() == "test.csv.dvc: test.csv is not here; fetch it: dvc pull"
    (tmp_path / "test.csv.dvc").unlink()
    (tmp_path / "test.csv").symlink_to(tmp_path / "cache")
    assert error_message().startswith("test.csv is a link to a missing file; fetch it (dvc pull)")
    (tmp_path / "test.csv").unlink()
    for name in ("test.csv", "test"):
        (tmp_path / name).mkdir()
        assert error_message().startswith(f"{name} is a folder; only Parquet is read as one")
        (tmp_path / name).rmdir()
    os.mkfifo(tmp_path / "test.csv")
    assert error_message().startswith("test.csv is neither a file nor a folder")
    (tmp_path / "test.csv").unlink()
    (tmp_path / "test.parquet").mkdir()
    assert error_message().startswith("test.parquet is a folder without a Parquet file")
    write_parquet_folder(tmp_path / "test.parquet/category=TABLES", [("mesa", "TABLES")])
    assert "category=TABLES is a column in the name of a folder" in error_message()


def test_the_files_of_a_folder_must_have_the_same_columns(tmp_path: Path):
    write_parquet_folder(tmp_path / "train.parquet", [("mesa", "TABLES")])
    pq.write_table(pa.table({"title": ["silla"]}), tmp_path / "train.parquet/part-00001.snappy.parquet")
    with pytest.raises(InputError, match=r"part-00001.snappy.parquet has other columns than part-00000"):
        find_files(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.csv", "title,category,title\nmesa,TABLES,silla\n"),
        ("train.csv", "title;category;title \nmesa;TABLES;silla\n"),
        ("train.jsonl", '{"title": "mesa", "category": "TABLES", "title": "silla"}\n'),
        ("train.parquet", "title,category,title"),
    ],
)
def test_a_duplicate_column_that_is_needed_is_rejected(tmp_path: Path, name: str, content: str):
    if name == "train.parquet":
        table = pa.Table.from_arrays([pa.array(["x"])] * 3, names=content.split(","))
        pq.write_table(table, tmp_path / name)
    else:
        write_files(tmp_path, {name: content})
    with pytest.raises(InputError, match=rf"{name}: there are 2 columns title; rename or remove one"):
        find_files(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.csv", "title,category,brand,brand\nmesa,TABLES,x,y\n"),
        ("train.jsonl", '{"brand": 1, "title": "mesa", "category": "TABLES", "brand": {"title": 1, "title": 2}}\n'),
        ("train.parquet", "title,category,brand,brand"),
    ],
)
def test_a_duplicate_column_that_is_not_needed_is_allowed(tmp_path: Path, name: str, content: str):
    if name == "train.parquet":
        columns = [pa.array(["mesa"]), pa.array(["TABLES"]), pa.array([["x"]]), pa.array([1])]
        pq.write_table(pa.Table.from_arrays(columns, names=content.split(",")), tmp_path / name)
    else:
        write_files(tmp_path, {name: content})
    (file,) = find_files(tmp_path)
    assert titles_and_categories(list(rows_in(file))) == [("mesa", "TABLES")]


def test_a_duplicate_key_in_one_line_is_a_fault_of_only_that_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(readers, "SAMPLE_LINES", 1)
    lines = '{"title": "mesa", "category": "TABLES"}\n{"title": "sofa", "category": "SOFAS", "title": "silla"}\n'
    assert [row.fault for row in rows_of(tmp_path, "train.jsonl", lines)] == [None, "the key title is there twice"]


NAMES = ColumnNames(title="Título", category="category_id", language="Language", label_quality="Quality", id="Nº")
RENAMED: dict[str, object] = {"Nº": 7, "Título": "mesa", "category_id": 120, "Language": "es", "Quality": "reliable"}


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_columns_may_have_other_names(tmp_path: Path, kind: str, form: Literal["NFC", "NFD"]):
    rows = [{unicodedata.normalize(form, name): value for name, value in RENAMED.items()}]
    (file,) = find_files(write_files(tmp_path, {f"train.{kind}": encode_rows(rows, kind)}), NAMES)
    assert [row.values for row in rows_in(file)] == [("7", "mesa", "120", "es", "reliable")]


def test_a_test_file_without_the_configured_category_column_is_unlabelled(tmp_path: Path):
    files = {"train.csv": "Título,category_id\nmesa,TABLES\n", "test.csv": "Nº,Título,category\n7,mesa,TABLES\n"}
    assert [file.split for file in find_files(write_files(tmp_path, files), NAMES)] == ["unlabelled", "train"]


def test_a_missing_column_is_reported_with_the_existing_ones_and_the_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    write_files(tmp_path, {"train.csv": "product_title,category\nmesa,TABLES\n"})
    with pytest.raises(InputError) as error:
        find_files(tmp_path)
    assert str(error.value).endswith(
        "train.csv: no column title; its columns are product_title, category; "
        "if it has another name, give that by prepare.columns.title"
    )
    find_files(tmp_path, ColumnNames(title="product_title", language="idioma"))
    assert caplog.messages == [f"{tmp_path}/train.csv: no column idioma (prepare.columns.language)"]


@pytest.mark.parametrize("kind", ["json", "ndjson"])
def test_json_lines_are_read_under_their_other_names(tmp_path: Path, kind: str):
    rows = rows_of(tmp_path, f"train.{kind}", '{"title": "mesa", "category": "A"}\n')
    assert titles_and_categories(rows) == [("mesa", "A")]


def test_two_columns_cannot_have_one_name():
    with pytest.raises(InputError, match=r"prepare\.columns: title and category are both 'name'"):
        ColumnNames(title="name", category="name")


def test_control_characters_of_a_file_do_not_reach_the_terminal(tmp_path: Path):
    with pytest.raises(InputError) as error:
        find_files(write_files(tmp_path, {"train.csv": b"\x1b[2Jname\x07\xe9,\x9b\n"}))
    assert r"its columns are \x1b[2Jname\x07\udce9, \udc9b" in str(error.value)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "has no train file; it needs train.csv, train.jsonl or train.parquet"),
        ({"test.csv": CSV, "validation.csv": CSV}, "has no train file"),
        ({"train.csv": CSV, "train.jsonl": CSV}, "train.csv and train.jsonl are one name in two formats"),
        ({"train.csv": CSV, "train.csv.gz": CSV}, "train.csv and train.csv.gz are one name in two formats"),
        (
            {"train.txt": CSV},
            "supported are csv, tsv, jsonl, json, ndjson, parquet; to read one title per line: titles predict MODELS",
        ),
        ({"train": CSV}, "train: unknown format ''; supported are csv, tsv, jsonl, json, ndjson, parquet"),
        ({"train.csv": CSV, "Train.CSV": CSV}, "Train.CSV and train.csv are one name in two formats"),
        ({"train.csv.rar": CSV}, "train.csv.rar: unknown compression 'rar'; supported are gz, bz2, zst or none"),
        (
            {"train.parquet.gz": CSV},
            "train.parquet.gz: unknown compression 'gz'; supported are none, as Parquet compresses",
        ),
        ({"train.csv": "title,kind\nmesa,TABLES\n"}, "train.csv: no column category; its columns are title, kind"),
        ({"train.csv": "name\nmesa\n"}, "train.csv: no column category or title; its columns are name"),
        ({"train.csv": CSV, "test.csv": "title\nmesa\n"}, "test.csv: no column category; its columns are title"),
        ({"train.csv": CSV, "test.csv": "id\n1\n"}, "test.csv: no column title; its columns are id"),
        ({"train.jsonl": '{"title": "mesa"}\n'}, "train.jsonl: no column category; its columns are title"),
        ({"train.parquet": encode_rows([{"title": "mesa"}], "parquet")}, "train.parquet: no column category; "),
        ({"train.csv": ""}, "train.csv is empty"),
        ({"train.csv": "\ufeff\n"}, "train.csv: no column category or title; its columns are none"),
        ({"train.jsonl": "\n"}, "train.jsonl is empty"),
        ({"train.jsonl": CSV}, "train.jsonl: none of its first lines is a JSON object"),
        ({"train.parquet": ""}, "train.parquet is empty"),
        ({"train.parquet": CSV}, "train.parquet: damaged"),
        ({"train.csv.gz": ""}, "train.csv.gz: "),
        ({"train.csv.gz": CSV}, "train.csv.gz: damaged"),
        ({"train.csv.bz2": CSV}, "train.csv.bz2: damaged"),
        ({"train.csv.zst": CSV}, "train.csv.zst: damaged"),
    ],
)
def test_a_folder_that_cannot_be_used_is_rejected(tmp_path: Path, files: dict[str, str | bytes], message: str):
    with pytest.raises(InputError) as error:
        find_files(write_files(tmp_path, files))
    assert message in str(error.value)


def test_a_missing_folder_is_rejected(tmp_path: Path):
    with pytest.raises(InputError, match=r"data\.raw: .*/nowhere is not a folder"):
        find_files(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.csv", "title,category\n"),
        ("train.csv", "title,category"),
        ("train.csv", "title,category\n\n\n"),
        ("train.parquet", encode_rows([], "parquet")),
    ],
)
def test_a_file_without_rows_is_rejected(tmp_path: Path, name: str, content: str | bytes):
    with pytest.raises(InputError, match=f"{name} has no rows"):
        rows_of(tmp_path, name, content)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.csv", "title,category\nmesa,TABLES\nsilla,CHAIRS\n"),
        ("train.jsonl", '{"title": "mesa", "category": "TABLES"}\n{"title": "silla", "category": "CHAIRS"}\n'),
    ],
)
@pytest.mark.parametrize(
    "change",
    [
        lambda content: "\ufeff" + content,
        lambda content: content.replace("\n", "\r\n"),
        lambda content: content.replace("\n", "\n\n"),
        lambda content: content.rstrip("\n"),
    ],
    ids=["byte order mark", "CRLF", "blank lines", "no end of line at the end"],
)
def test_typical_changes_by_editors_change_no_row(
    tmp_path: Path, name: str, content: str, change: Callable[[str], str]
):
    read = rows_of(tmp_path, name, change(content))
    assert titles_and_categories(read) == [("mesa", "TABLES"), ("silla", "CHAIRS")]


def test_spaces_around_column_names_are_ignored(tmp_path: Path):
    assert titles_and_categories(rows_of(tmp_path, "train.csv", "title , category\nmesa,TABLES\n")) == [
        ("mesa", "TABLES")
    ]


def test_the_line_of_a_row_counts_the_lines_within_quotes_and_blank_ones(tmp_path: Path):
    content = 'title,category\n"mesa\nredonda",TABLES\n\nsilla,CHAIRS\n'
    assert [row.line for row in rows_of(tmp_path, "train.csv", content)] == [2, 5]


def test_the_rows_of_parquet_are_counted_through_all_batches(tmp_path: Path):
    read = rows_of(tmp_path, "train.parquet", encode_rows(ROWS * 40_000, "parquet"))
    assert [row.line for row in read] == list(range(1, 80_001))


@pytest.mark.parametrize(
    "content",
    [
        'title,category\nmesa,TABLES\n"silla,CHAIRS\nsofa,SOFAS\n',
        'title,category\nmesa,TABLES\n"silla,CHAIRS\nsofa,SOFAS\n"cama",BEDS\n',
    ],
    ids=["before the end of the file", "before the next quote"],
)
def test_a_quote_that_does_not_close_is_rejected_with_its_line(tmp_path: Path, content: str):
    with pytest.raises(InputError, match=r"train.csv, line 3: a quote opens there and does not close"):
        rows_of(tmp_path, "train.csv", content)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("cama", "1 fields where the header has 2"),
        ("cama,grande,BEDS", "3 fields where the header has 2"),
        ('"cama"grande,BEDS', "not CSV: ',' expected after '\"'"),
    ],
)
def test_a_line_of_csv_that_cannot_be_read_is_a_fault_of_only_that_row(tmp_path: Path, line: str, fault: str):
    read = rows_of(tmp_path, "train.csv", f"title,category\nmesa,TABLES\n{line}\nsilla,CHAIRS\n")
    assert read[1] == Row(3, NO_VALUES, fault)
    assert titles_and_categories(read[::2]) == [("mesa", "TABLES"), ("silla", "CHAIRS")]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"title": "cama"', "not JSON: Expecting ',' delimiter"),
        ("cama", "not JSON: Expecting value"),
        ("[" * 100_000, "not JSON: "),
        ('["cama", "BEDS"]', "not a JSON object"),
        ("null", "not a JSON object"),
    ],
    ids=["truncated", "not JSON", "nested too deeply", "a list", "null"],
)
@pytest.mark.parametrize("index", [0, 1])
def test_a_line_of_json_that_cannot_be_read_is_a_fault_of_only_that_row(
    tmp_path: Path, line: str, fault: str, index: int
):
    lines = ['{"title": "mesa", "category": "TABLES"}']
    lines.insert(index, line)
    read = rows_of(tmp_path, "train.jsonl", "\n".join(lines))
    assert (read[index].line, read[index].values) == (index + 1, NO_VALUES)
    assert read[index].fault is not None
    assert read[index].fault.startswith(fault)
    assert titles_and_categories([read[1 - index]]) == [("mesa", "TABLES")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.jsonl", '{"id": 7, "title": null, "category": "TABLES"}\n'),
        ("train.jsonl", '{"category": "TABLES", "id": 7, "title": null, "size": 12}\n'),
        ("train.parquet", encode_rows([{"size": 12, "category": "TABLES", "id": 7, "title": None}], "parquet")),
    ],
)
def test_values_are_text_or_none_in_the_order_of_the_columns(tmp_path: Path, name: str, content: str | bytes):
    assert rows_of(tmp_path, name, content) == [Row(1, ("7", None, "TABLES", None, None))]


@pytest.mark.parametrize("name", ["train.csv", "train.jsonl"])
def test_bytes_that_are_not_utf_8_become_question_marks_and_a_fault_of_only_their_row(tmp_path: Path, name: str):
    rows = [{"title": title, "category": "COFFEES"} for title in ("café", "cafX")]
    content = encode_rows(rows, name.removeprefix("train.")).replace(b"X", b"\xe9")
    read = rows_of(tmp_path, name, content)
    assert titles_and_categories(read) == [("café", "COFFEES"), ("caf?", "COFFEES")]
    assert [row.fault for row in read] == [None, INVALID_UTF8]


@pytest.mark.parametrize(
    "header", ['title,"category', '"title"x,category', 'title,"category\n' + "mesa,TABLES\n" * 30_000]
)
def test_a_header_that_is_not_csv_is_rejected(tmp_path: Path, header: str):
    with pytest.raises(InputError, match=r"train\.csv, line 1: the header is not CSV"):
        find_files(write_files(tmp_path, {"train.csv": header}))


def test_rows_joined_by_a_missing_quote_are_rejected_with_their_full_text(tmp_path: Path):
    content = 'title,category\n"tv 32,TV\nsilla,SILLA\ncable",CABLE\nmesa,TABLES\n'
    (file,) = find_files(write_files(tmp_path, {"train.csv": content}))
    joined, good = rows_in(file)
    assert (joined.line, joined.values[1]) == (2, "tv 32,TV\nsilla,SILLA\ncable")
    assert "a quote that should have closed" in str(joined.fault)
    assert (good.line, good.fault) == (5, None)


def test_a_quote_that_closes_in_another_row_of_too_many_fields_is_rejected(tmp_path: Path):
    content = 'title,category\nmesa,"TABLES\nsilla",CHAIRS\n'
    (file,) = find_files(write_files(tmp_path, {"train.csv": content}))
    with pytest.raises(InputError, match=r"train\.csv, line 2: a quote opens there and closes in another row"):
        list(rows_in(file))


@pytest.mark.parametrize("kind", [pa.string(), pa.binary(), pa.large_binary(), pa.binary(4)])
def test_invalid_utf_8_in_a_parquet_file_is_a_fault_of_its_row(tmp_path: Path, kind: pa.DataType):
    titles = pa.array([b"cafe", b"caf\xe9"], pa.binary() if kind == pa.string() else kind)
    if kind == pa.string():
        titles = pa.Array.from_buffers(kind, 2, titles.buffers())
    pq.write_table(pa.table({"title": titles, "category": ["COFFEE"] * 2}), tmp_path / "train.parquet")
    (file,) = find_files(tmp_path)
    assert [(row.values[1], row.fault) for row in rows_in(file)] == [("cafe", None), ("caf?", INVALID_UTF8)]


# Values and their text, which is the same in every format.
VALUES: list[tuple[object, str | None]] = [
    (120, "120"),
    (120.0, "120"),
    (-0.0, "0"),
    (120.5, "120.5"),
    (1e22, "10000000000000000000000"),
    (1e-7, "1e-07"),
    (True, "true"),
    (False, "false"),
    (None, None),
    (float("nan"), None),
    (float("inf"), None),
    ("NaN", "NaN"),
    ("120.0", "120.0"),
]


@pytest.mark.parametrize("column", ["id", "category", "title"])
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_value_that_is_not_text_is_formatted_equally_in_every_format(tmp_path: Path, kind: str, column: str):
    for number, (value, _) in enumerate(VALUES):
        row = {"id": "1", "title": "mesa", "category": "TABLES"} | {column: value}
        path = tmp_path / f"{number}.train.{kind}"
        if kind == "jsonl":
            path.write_text(json.dumps(row) + "\n")
        else:
            pq.write_table(pa.Table.from_pylist([row]), path)
        file = inspect_file(path, "train", kind, ColumnMapping(asdict(ColumnNames()), ""))
        assert [row.values[COLUMNS.index(column)] for row in rows_in(file)] == [VALUES[number][1]]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([120.0, 0.1, None], pa.float32()), ["120", "0.1", None]),
        (pa.array([Decimal("120.00"), Decimal("0.50"), None]), ["120", "0.5", None]),
        (pa.array([Decimal("1234567890" * 3 + ".50")], pa.decimal128(38, 2)), ["1234567890" * 3 + ".5"]),
        (pa.array([Decimal("1234567890" * 3), Decimal(0)], pa.decimal128(38, 0)), ["1234567890" * 3, "0"]),
        (pa.array([120.0, None]).dictionary_encode(), ["120", None]),
        (pa.array(["A", None]).dictionary_encode(), ["A", None]),
        (pa.array([b"A", None]), ["A", None]),
        (pa.array(["A", None], pa.string_view()), ["A", None]),
        (pa.array([None, None]), [None, None]),
        (pa.array([2**63], pa.uint64()), ["9223372036854775808"]),
        (pa.array([0], pa.date32()), ["1970-01-01"]),
    ],
)
def test_every_type_of_parquet_is_converted_to_text(tmp_path: Path, values: pa.Array, expected: list[str | None]):
    pq.write_table(pa.table({"title": values, "category": values}), tmp_path / "train.parquet")
    (file,) = find_files(tmp_path)
    assert [category for _, category in titles_and_categories(list(rows_in(file)))] == expected


def test_the_header_of_an_appended_file_has_a_fault(tmp_path: Path):
    files = [CSV.encode(), b"\xef\xbb\xbf" + CSV.encode(), b"too few\n"]
    read = rows_of(tmp_path, "train.csv.gz", b"".join(map(gzip.compress, files)))
    assert [row.fault for row in read] == [None, REPEATED_HEADER, None, "1 fields where the header has 2"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["train.csv", "train.tsv", "train.jsonl", "train.csv.gz"])
def test_utf_16_is_read(tmp_path: Path, name: str, encoding: str):
    rows: list[dict[str, object]] = [{"title": "mesa 😀, Ñ" * n, "category": "TABLES"} for n in range(400)]
    kind = name.split(".")[1]
    text = encode_rows(rows, "csv" if kind == "tsv" else kind).decode()
    text = text.replace('","', '"\t"') if kind == "tsv" else text
    content = text.encode(encoding)
    read = rows_of(tmp_path, name, gzip.compress(content) if name.endswith("gz") else content)
    assert [row.values[1] for row in read] == [row["title"] for row in rows]


def test_truncated_or_invalid_utf_16_is_reported_like_utf_8(tmp_path: Path):
    text = "title,category\n" + "mesa,TABLES\n" * 3 + "half \ud83d,TABLES\n"
    content = b"\xff\xfe" + text.encode("utf-16-le", errors="surrogatepass")
    read = rows_of(tmp_path, "train.csv", content)
    assert [row.fault for row in read] == [None, None, None, INVALID_UTF8]
    with pytest.raises(InputError, match=r"train\.csv: damaged .*truncated data"):
        rows_of(tmp_path, "train.csv", content[:-1])


def test_a_file_to_predict_needs_only_its_titles(tmp_path: Path):
    table = pa.table({"name": ["mesa"], "category": [["TABLES"]], "title": [["x"]]})
    pq.write_table(table, tmp_path / "titles.parquet")
    file = titles_file(tmp_path / "titles.parquet", "name")
    assert [row.values for row in rows_in(file)] == [(None, "mesa", None, None, None)]
    with pytest.raises(InputError, match=r"its columns are name, category, title; .* give that by --title-column"):
        titles_file(tmp_path / "titles.parquet", "Name")


def test_a_folder_of_parquet_files_may_be_predicted(tmp_path: Path):
    folder = write_parquet_folder(tmp_path / "titles.parquet", [("mesa", "A")], [("silla", "B")])
    assert [row.values[1] for row in rows_in(titles_file(folder))] == ["mesa", "silla"]


def test_a_parquet_column_of_lists_is_rejected_by_name(tmp_path: Path):
    pq.write_table(pa.table({"title": [["mesa"]], "category": ["TABLES"]}), tmp_path / "train.parquet")
    with pytest.raises(InputError, match=r"column title is of type list<.*>; it must be text"):
        find_files(tmp_path)


def test_keys_missing_in_the_first_object_are_found_in_later_ones(tmp_path: Path):
    train = '{"category": "TABLES"}\n{"title": "mesa", "category": "TABLES"}\n'
    test = '{"id": 1, "title": "mesa"}\n{"id": 2, "title": "silla", "category": "CHAIRS"}\n'
    files = find_files(write_files(tmp_path, {"train.jsonl": train, "test.jsonl": test}))
    assert {file.split for file in files} == {"train", "test"}


def test_a_list_where_text_should_be_is_a_fault(tmp_path: Path):
    lines = '{"title": "mesa", "category": "TABLES"}\n{"title": ["mesa"], "category": "TABLES"}\n'
    (file,) = find_files(write_files(tmp_path, {"train.jsonl": lines}))
    assert [row.fault for row in rows_in(file)] == [None, "a list or an object where text should be"]
