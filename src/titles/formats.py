"""The formats titles come in: the columns and the rows of a file, whatever its compression."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple, cast

import pyarrow as pa
import pyarrow.parquet as pq

from titles.errors import InputError

COLUMNS = ("id", "title", "category", "language", "label_quality")
COMPRESSIONS = {"": None, "gz": "gzip", "bz2": "bz2", "zst": "zstd"}
DAMAGES = (OSError, pa.ArrowException)
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


def _csv_text(stream: IO[bytes]) -> IO[str]:
    return io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _csv_columns(stream: IO[bytes]) -> list[str]:
    return [column.strip() for column in next(csv.reader(_csv_text(stream)), [])]


def _csv_rows(stream: IO[bytes], path: Path) -> Iterator[Row]:
    reader = csv.reader(_csv_text(stream), strict=True)
    header = [column.strip() for column in next(reader)]
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
                raise InputError(
                    f"{path}, line {line}: a quote opens there and does not close ({error}); mend it"
                ) from None
            yield Row(line, NO_VALUES, f"not CSV: {error}")
            continue
        if len(fields) == len(header):
            yield Row(line, tuple(None if place is None else fields[place] for place in places))
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


def _jsonl_columns(stream: IO[bytes]) -> list[str]:
    for line in stream:
        try:
            return list(_json_object(line))
        except ValueError:
            continue
    return []


def _jsonl_rows(stream: IO[bytes], path: Path) -> Iterator[Row]:
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        try:
            content = _json_object(line)
        except ValueError as error:
            yield Row(number, NO_VALUES, str(error))
            continue
        values = (content.get(column) for column in COLUMNS)
        yield Row(number, tuple(None if value is None else str(value) for value in values))


def _parquet_columns(stream: IO[bytes]) -> list[str]:
    return list(pq.read_schema(stream).names)


def _parquet_rows(stream: IO[bytes], path: Path) -> Iterator[Row]:
    """Parquet has no lines; the number of the row stands for it."""
    table = pq.ParquetFile(stream)
    columns = [column for column in COLUMNS if column in table.schema_arrow.names]
    number = 0
    for batch in table.iter_batches(columns=columns):
        absent = pa.nulls(len(batch), pa.string())
        values = [
            batch[column].cast(pa.string()).to_pylist() if column in columns else absent.to_pylist()
            for column in COLUMNS
        ]
        for row in zip(*values, strict=True):
            number += 1
            yield Row(number, row)


class Format(NamedTuple):
    """How to read a format: the names of its columns, and its rows."""

    columns: Callable[[IO[bytes]], list[str]]
    rows: Callable[[IO[bytes], Path], Iterator[Row]]


FORMATS = {
    "csv": Format(_csv_columns, _csv_rows),
    "jsonl": Format(_jsonl_columns, _jsonl_rows),
    "parquet": Format(_parquet_columns, _parquet_rows),
}
