"""The rows of CSV, however they are read, are those of Python's strict reader, line by line."""

import csv
import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from titles.core.errors import InputError
from titles.io import csv_lines
from titles.io.csv_reader import MISSING_QUOTE, REPEATED_HEADER, csv_batches
from titles.io.records import INVALID_UTF8, NO_VALUES

PATH = Path("train.csv")
COLUMNS = ("title", "category", "brand")
# Characters that CSV readers may interpret differently.
PIECES = [b'"', b'""', b",", b";", b"\t", b"\n", b"\r", b"\r\n", b"\0", b"\xef\xbb\xbf", b"\xe9", "é".encode(), b" "]
LINES = [b"mesa,TABLES\n", b'"mesa ""roja"", grande",TABLES\r\n', b'"silla\nalta",CHAIRS\n', b"\n", b'""\n', b"mesa\n"]
LINES += [b'"tv;TV\nsilla;CHAIRS\ncable";CABLES\n', b'A,"mesa\nroja, alta"\n', b"mesa\tA\tB\n"]
LINES += [b"title,category\n", b"title\n"]
ANY = st.sampled_from([*PIECES, *LINES, b"mesa", b"'"]) | st.binary(max_size=3)
CONTENTS = st.lists(ANY, max_size=40).map(b"".join)

Rows = list[tuple[object, ...]]


def read_strictly(content: bytes, columns: int, delimiter: str) -> Iterator[tuple[object, ...]]:
    """Yield title, category, line and fault of the rows by Python's strict reader, up to the first error."""
    text = io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", "surrogateescape", newline="").readlines()
    lines = iter(text)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    next(reader)
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield (*NO_VALUES[:2], line, f"not CSV: {error}")
            if reader.line_num > line or "end of data" in str(error):
                return
            continue
        if not fields:
            continue
        if len(fields) != columns:
            yield (*NO_VALUES[:2], line, f"{len(fields)} fields where the header has {columns}")
            if reader.line_num > line:
                return
            continue
        record = list(islice(text, line - 1, reader.line_num))
        yield (*row_of(fields, MISSING_QUOTE if contains_rows(record, columns, delimiter) else None, line),)


def row_of(fields: list[str], fault: str | None, line: int) -> tuple[object, ...]:
    texts = [field.encode(errors="replace").decode() for field in fields[:2]]
    if texts != fields[:2]:
        fault = INVALID_UTF8
    elif [field.strip(" \ufeff") for field in texts] == list(COLUMNS[: len(texts)]):
        fault = REPEATED_HEADER
    return texts[0], texts[1] if len(texts) > 1 else None, line, fault


def contains_rows(record: list[str], columns: int, delimiter: str) -> bool:
    def is_row(line: str) -> bool:
        return columns > 1 and line.count(delimiter) == columns - 1 and f"{delimiter} " not in line

    has_inner_row = any(is_row(line) for line in record[1:-1] if '"' not in line)
    return has_inner_row or (len(record) > 1 and is_row(record[0]) and is_row(record[-1]))


def read(content: bytes) -> tuple[Rows, str]:
    """Title, category, line and fault of every row, and the message of the error that ended the reading."""
    rows: Rows = []
    names = {name: name for name in COLUMNS[:2] if name.encode() in content.partition(b"\n")[0]}
    try:
        for batch in csv_batches(io.BytesIO(content), PATH, names):
            rows += [(row["title"], row["category"], row["line"], row["fault"]) for row in batch.to_pylist()]
    except InputError as error:
        return rows, str(error)
    return rows, ""


@settings(deadline=None, max_examples=500)
@given(content=CONTENTS, columns=st.integers(1, 3), delimiter=st.sampled_from(",;\t"))
@example(content=b'mesa,TABLES\r"silla\r\nalta",CHAIRS\r', columns=2, delimiter=",")
@example(content=b"\xef\xbb\xbfmesa,TABLES\nmesa,TABLES\n", columns=2, delimiter=",")
@example(content=b'mesa,TABLES\n"silla",CHAIRS\n"sofa,SOFAS\ncama,BEDS', columns=2, delimiter=",")
@example(content=b"m" * 131_073 + b",TABLES\nmesa,TABLES\n", columns=2, delimiter=",")
@example(content=b'"' + b"m\n" * 70_000 + b'",TABLES\nmesa,TABLES\n', columns=2, delimiter=",")
@example(content=b'mesa\n\n""\n \nsilla\n\n', columns=1, delimiter=",")
@example(content=b"too,many\n\xef\xbb\xbftitle,category\nmesa,TABLES\ntoo few\n", columns=2, delimiter=",")
@example(content=b"\xef", columns=1, delimiter=",")
@example(content=b"\xef\xbb\n", columns=1, delimiter=",")
@pytest.mark.parametrize("extra_bytes", [0, 7, 1 << 20])
def test_any_bytes_give_the_rows_of_the_strict_reader_whatever_the_block_size(
    extra_bytes: int, content: bytes, columns: int, delimiter: str
):
    # In a file of one column no delimiter can be detected, so the first is used.
    delimiter = delimiter if columns > 1 else ","
    header = delimiter.join(COLUMNS[:columns]).encode() + b"\n"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_lines, "CHUNK_BYTES", min(len(header) + extra_bytes, 1 << 18))
        patch.setattr(csv_lines, "BLOCK_BYTES", len(header) + extra_bytes if len(content) < 1000 else 1 << 18)
        rows, error = read(header + content)
    expected = list(read_strictly(header + content, columns, delimiter))
    if error:
        *expected, (_title, _category, line, _fault) = expected
        assert error.startswith(f"train.csv, line {line}: a quote opens there and ")
        assert expected[: len(rows)] == rows
    else:
        assert rows == expected


@pytest.mark.parametrize("content", [b"mesa\n\nsilla\n", b"mesa\nsilla\n\n", b"\nmesa\r\n\r\nsilla"])
def test_a_blank_line_in_a_file_of_one_column_is_no_title(content: bytes):
    assert [row[0] for row in read(b"title\n" + content)[0]] == ["mesa", "silla"]


@pytest.mark.parametrize(
    "content",
    [
        b'title,category\n"novela\ncolor negro, envio gratis",BOOKS\n',
        b'id,title\n2,"funda galaxy\nnegra, nueva"\n',
        b'title,category\n"mesa\nredonda",TABLES\n',
        b'title,category\n"mesa\n\nredonda, de pino\ny roble",TABLES\n',
        b'title,category\n"mesa\nroja","TABLES\nTHINGS"\n',
        b'title\n"mesa\nroja, alta"\n',
    ],
)
def test_a_field_may_have_line_breaks_and_commas(content: bytes):
    assert [row[3] for row in read(content)[0]] == [None]


@pytest.mark.parametrize(
    "content",
    [
        b'title,category\n"tv 32,TV\nsilla,CHAIRS\ncable",CABLES\n',
        b'title,category\n"silla,CHAIRS\ntv 32",TV\n',
        b'category;title\nTV;"tv\nCHAIRS;silla\nmesa"\n',
    ],
)
def test_rows_joined_by_a_missing_quote_have_a_fault(content: bytes):
    assert [row[3] for row in read(content)[0]] == [MISSING_QUOTE]
