"""The rows of CSV, however they are read, are those of Python's strict reader, line by line."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from titles import csv_rows
from titles.csv_rows import SWALLOWED, csv_batches
from titles.errors import InputError
from titles.rows import BROKEN_UTF8, NO_VALUES

HEADER = b"title,category\n"
PATH = Path("train.csv")
# Rich in what readers of CSV may differ in.
PIECES = [b'"', b'""', b",", b"\n", b"\r", b"\r\n", b"\0", b"\xef\xbb\xbf", b"\xe9", "é".encode(), b" ", b"mesa", b"'"]
ORDINARY = [b"mesa,TABLES\n", b'"mesa ""roja"", grande",TABLES\r\n', b'"silla\nalta",CHAIRS\n', b"\n"]
CONTENTS = st.lists(st.sampled_from(PIECES + ORDINARY) | st.binary(max_size=3), max_size=40).map(b"".join)

Rows = list[tuple[object, ...]]


def strictly_read(content: bytes) -> Iterator[tuple[object, ...]]:
    """What the reader of Python makes of the rows: title, category, line, fault; an error ends them."""
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", "surrogateescape", newline=""), strict=True)
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
        if len(fields) != 2:
            yield (*NO_VALUES[:2], line, f"{len(fields)} fields where the header has 2")
            if reader.line_num > line:
                return
            continue
        shown = [field.encode(errors="replace").decode() for field in fields]
        swallowed = reader.line_num > line and any("," in field.partition("\n")[2] for field in fields)
        yield (*shown, line, BROKEN_UTF8 if shown != fields else SWALLOWED if swallowed else None)


def read(content: bytes) -> tuple[Rows, str]:
    """Title, category, line and fault of every row, and the error that ended them."""
    rows: Rows = []
    try:
        for batch in csv_batches(io.BytesIO(content), PATH):
            rows += [(row["title"], row["category"], row["line"], row["fault"]) for row in batch.to_pylist()]
    except InputError as error:
        return rows, str(error)
    return rows, ""


@settings(deadline=None, max_examples=500)
@given(content=CONTENTS)
@example(content=b'mesa,TABLES\r"silla\r\nalta",CHAIRS\r')
@example(content=b"\xef\xbb\xbfmesa,TABLES\nmesa,TABLES\n")
@example(content=b'mesa,TABLES\n"silla",CHAIRS\n"sofa,SOFAS\ncama,BEDS')
@example(content=b"m" * 131_073 + b",TABLES\nmesa,TABLES\n")
@example(content=b'"' + b"m\n" * 70_000 + b'",TABLES\nmesa,TABLES\n')
@pytest.mark.parametrize("size", [15, 22, 1 << 20])
def test_any_bytes_give_the_rows_that_the_strict_reader_gives_whatever_is_read_at_a_time(size: int, content: bytes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_rows, "PIECE_BYTES", min(size, 1 << 18))
        patch.setattr(csv_rows, "BLOCK_BYTES", size if len(content) < 1000 else 1 << 18)
        rows, error = read(HEADER + content)
    expected = list(strictly_read(HEADER + content))
    if error:
        *expected, (_title, _category, line, _fault) = expected
        assert error.startswith(f"train.csv, line {line}: a quote opens there and ")
        assert expected[: len(rows)] == rows
    else:
        assert rows == expected
