"""The formats titles come in: the columns and the rows of a file, whatever its compression."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import IO, NamedTuple, cast

import pyarrow as pa
import pyarrow.parquet as pq

from titles.csv_rows import csv_batches, csv_columns
from titles.errors import InputError
from titles.rows import COLUMNS, NO_VALUES, Row, batch_of, batch_of_columns

COMPRESSIONS = {"": None, "gz": "gzip", "bz2": "bz2", "zst": "zstd"}
PEEKED_LINES = 10_000
BATCH_ROWS = 65_536


def decompressed(stream: IO[bytes], compression: str) -> IO[bytes]:
    if not compression:
        return stream
    # Arrow's streams take files of several members and notice a missing end; zstandard's own reader does not.
    arrow = pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), COMPRESSIONS[compression])
    return cast("IO[bytes]", io.BufferedReader(arrow))


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


def _jsonl_batches(stream: IO[bytes], path: Path) -> Iterator[pa.RecordBatch]:
    rows = _jsonl_rows(stream)
    while batch := list(islice(rows, BATCH_ROWS)):
        yield batch_of(batch)


def _jsonl_rows(stream: IO[bytes]) -> Iterator[Row]:
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


def _parquet_batches(stream: IO[bytes], path: Path) -> Iterator[pa.RecordBatch]:
    """Parquet has no lines; the number of the row stands for it."""
    table = pq.ParquetFile(stream)
    columns = [column for column in COLUMNS if column in table.schema_arrow.names]
    first = 1
    for batch in table.iter_batches(BATCH_ROWS, columns=columns):
        values = [_coded(batch[column]) if column in columns else None for column in COLUMNS]
        yield batch_of_columns(pa.array(range(first, first + len(batch)), pa.int64()), values)
        first += len(batch)


def _coded(column: pa.Array) -> pa.Array:
    """As binary: Arrow checks no UTF-8 on reading and then fails on the first text that is none."""
    text = column if pa.types.is_large_string(column.type) else column.cast(pa.string())
    return text.cast(pa.large_binary())


class Format(NamedTuple):
    """How to read a format: the names of its columns, and its rows, each with its line and in their order."""

    columns: Callable[[IO[bytes], Path], list[str]]
    batches: Callable[[IO[bytes], Path], Iterator[pa.RecordBatch]]


FORMATS = {
    "csv": Format(csv_columns, csv_batches),
    "jsonl": Format(_jsonl_columns, _jsonl_batches),
    "parquet": Format(_parquet_columns, _parquet_batches),
}
