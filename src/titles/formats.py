"""The formats titles come in: the columns and the rows of a file, whatever its compression."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import pyarrow as pa
import pyarrow.parquet as pq

from titles.errors import InputError

COLUMNS = ("id", "title", "category", "language", "label_quality")
COMPRESSIONS = {"": None, "gz": "gzip", "bz2": "bz2", "zst": "zstd"}
DAMAGES = (OSError, pa.ArrowException)
PEEKED_LINES = 10_000
SWALLOWED = "line breaks and commas in a field: a quote that should have closed before other rows"
NO_VALUES = (None,) * len(COLUMNS)


class Row(NamedTuple):
    """A row as it stands in its file: the values of `COLUMNS`, and why it could not be read if it could not.

    Bytes that are no UTF-8 arrive as lone surrogates.
    """

    line: int
    values: tuple[str | None, ...]
    fault: str | None = None


def decompressed(stream: IO[bytes], compression: str) -> IO[bytes]:
    if not compression:
        return stream
    # Arrow's streams take files of several members and notice a missing end; zstandard's own reader does not.
    arrow = pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), COMPRESSIONS[compression])
    return cast("IO[bytes]", io.BufferedReader(arrow))


def _csv_reader(stream: IO[bytes], path: Path) -> tuple[Any, list[str]]:
    """The reader of the rows below the header, and the header."""
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    reader = csv.reader(text, strict=True)
    try:
        return reader, [column.strip() for column in next(reader, [])]
    except csv.Error as error:
        raise InputError(f"{path}, line 1: the header is not CSV ({error}); mend it") from None


def _csv_columns(stream: IO[bytes], path: Path) -> list[str]:
    return _csv_reader(stream, path)[1]


def _csv_rows(stream: IO[bytes], path: Path) -> Iterator[Row]:
    reader, header = _csv_reader(stream, path)
    places = [header.index(column) if column in header else None for column in COLUMNS]
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # A record that swallowed further lines took other rows with it, so this is no matter of one row.
            if reader.line_num > line or "end of data" in str(error):
                raise InputError(f"{path}, line {line}: a quote opens there and does not close ({error})") from None
            yield Row(line, NO_VALUES, f"not CSV: {error}")
            continue
        if reader.line_num > line and len(fields) != len(header):
            raise InputError(f"{path}, line {line}: a quote opens there and closes in another row; mend it")
        if len(fields) == len(header):
            values = tuple(None if place is None else fields[place] for place in places)
            swallowed = reader.line_num > line and any("," in field.partition("\n")[2] for field in fields)
            yield Row(line, values, SWALLOWED if swallowed else None)
        elif fields:
            yield Row(line, NO_VALUES, f"{len(fields)} fields where the header has {len(header)}")


def _json_object(line: bytes) -> dict[str, object]:
    """Raises ValueError where the line holds none."""
    try:
        content = json.loads(line.decode("utf-8-sig", errors="surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(content, dict):
        raise ValueError("not a JSON object")
    return content


def _jsonl_columns(stream: IO[bytes], path: Path) -> list[str]:
    """The keys of the first `PEEKED_LINES`: writers may leave out what is null."""
    keys: dict[str, None] = {}
    for line in islice(stream, PEEKED_LINES):
        with suppress(ValueError):
            keys |= dict.fromkeys(_json_object(line))
    return list(keys)


def _jsonl_rows(stream: IO[bytes], path: Path) -> Iterator[Row]:
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        try:
            content = _json_object(line)
        except ValueError as error:
            yield Row(number, NO_VALUES, str(error))
            continue
        values = [content.get(column) for column in COLUMNS]
        if any(isinstance(value, dict | list) for value in values):
            yield Row(number, NO_VALUES, "a list or an object where text should be")
        else:
            yield Row(number, tuple(None if value is None else str(value) for value in values))


def _parquet_columns(stream: IO[bytes], path: Path) -> list[str]:
    schema = pq.read_schema(stream)
    for field in schema:
        if field.name in COLUMNS and pa.types.is_nested(field.type):
            raise InputError(f"{path}: column {field.name} is of type {field.type}; it must be text")
    return list(schema.names)


def _parquet_rows(stream: IO[bytes], path: Path) -> Iterator[Row]:
    """Parquet has no lines; the number of the row stands for it."""
    table = pq.ParquetFile(stream)
    columns = [column for column in COLUMNS if column in table.schema_arrow.names]
    number = 0
    for batch in table.iter_batches(columns=columns):
        absent = [None] * len(batch)
        values = [_parquet_values(batch[column]) if column in columns else absent for column in COLUMNS]
        for row in zip(*values, strict=True):
            number += 1
            yield Row(number, row)


def _parquet_values(column: pa.Array) -> list[str | None]:
    # By way of binary, as Arrow checks no UTF-8 on reading and then fails on the first text that is none.
    text = column if pa.types.is_large_string(column.type) else column.cast(pa.string())
    coded = text.cast(pa.large_binary()).to_pylist()
    return [None if value is None else value.decode("utf-8", errors="surrogateescape") for value in coded]


class Format(NamedTuple):
    """How to read a format: the names of its columns, and its rows."""

    columns: Callable[[IO[bytes], Path], list[str]]
    rows: Callable[[IO[bytes], Path], Iterator[Row]]


FORMATS = {
    "csv": Format(_csv_columns, _csv_rows),
    "jsonl": Format(_jsonl_columns, _jsonl_rows),
    "parquet": Format(_parquet_columns, _parquet_rows),
}
