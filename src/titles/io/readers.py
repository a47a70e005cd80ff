"""Readers of the supported formats (CSV, TSV, JSON Lines, Parquet): the columns and the rows of a file."""

import io
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, NamedTuple, cast

import pyarrow as pa
import pyarrow.parquet as pq

from titles.core.errors import InputError
from titles.io.columns import normalize_column_name
from titles.io.csv_reader import csv_batches, csv_columns
from titles.io.records import NO_VALUES, Row, as_text, batch_columns, columns_to_batch, rows_to_batch

COMPRESSIONS = {"": None, "gz": "gzip", "bz2": "bz2", "zst": "zstd"}
SAMPLE_LINES = 10_000
BATCH_ROWS = 65_536


def decompress(stream: io.BufferedReader, compression: str) -> io.BufferedReader:
    """Open a compressed file as a stream; without `compression`, return it as it is."""
    if not compression:
        return stream
    # Arrow's streams read files of several members and detect a truncated one; the reader of zstandard does not.
    arrow = pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), COMPRESSIONS[compression])
    return io.BufferedReader(cast("io.RawIOBase", arrow))


class _ObjectPairs(list[tuple[str, object]]):
    """The key-value pairs of a JSON object, including duplicate keys."""


_DECODER = json.JSONDecoder()
_PAIRS_DECODER = json.JSONDecoder(object_pairs_hook=_ObjectPairs)


def _decode_json(line: bytes, decoder: json.JSONDecoder) -> object:
    """Decode a line. Raise ValueError if it is not JSON."""
    try:
        return decoder.decode(line.decode("utf-8-sig", errors="surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None


def _object_keys(line: bytes) -> list[str]:
    """The keys of the JSON object on the line, or [] if it holds none."""
    with suppress(ValueError):
        if isinstance(pairs := _decode_json(line, _PAIRS_DECODER), _ObjectPairs):
            return [key for key, _ in pairs]
    return []


def _jsonl_columns(stream: IO[bytes], path: Path, expected_columns: Collection[str]) -> list[str]:
    """The keys of the first `SAMPLE_LINES`, because writers may omit null values.

    A key that occurs twice in a line occurs twice in the result.
    """
    keys: dict[str, None] = {}
    duplicates: dict[str, None] = {}
    for line in islice(stream, SAMPLE_LINES):
        line_keys = _object_keys(line)
        keys |= dict.fromkeys(line_keys)
        if len(set(line_keys)) < len(line_keys):
            duplicates |= dict.fromkeys(key for key in line_keys if line_keys.count(key) > 1)
    if not keys:
        raise InputError(f"{path}: none of its first lines is a JSON object; write one per line, or rename the file")
    return [*keys, *duplicates]


def _jsonl_batches(stream: IO[bytes], path: Path, names: Mapping[str, str]) -> Iterator[pa.RecordBatch]:
    rows = _jsonl_rows(stream, names)
    while batch := list(islice(rows, BATCH_ROWS)):
        yield rows_to_batch(batch, batch_columns(names))


def _jsonl_rows(stream: IO[bytes], names: Mapping[str, str]) -> Iterator[Row]:
    keys = [names.get(column) for column in batch_columns(names)]
    quoted = [json.dumps(name, ensure_ascii=False).encode() for name in names.values()]
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        try:
            content = _decode_json(line, _DECODER)
            if not isinstance(content, dict):
                raise ValueError("not a JSON object")
            # Only then can a key be duplicated; the exact check is slow.
            if any(line.count(key) > 1 for key in quoted):
                _check_duplicate_keys(_object_keys(line), names)
        except ValueError as error:
            yield Row(number, NO_VALUES, str(error))
            continue
        values = [content.get(key) for key in keys]
        if any(isinstance(value, dict | list) for value in values):
            yield Row(number, NO_VALUES, "a list or an object where text should be")
        else:
            yield Row(number, tuple(value if type(value) is str else as_text(value) for value in values))


def _check_duplicate_keys(keys: list[str], names: Mapping[str, str]) -> None:
    """Raise ValueError if a key to read occurs twice."""
    for name in names.values():
        if keys.count(name) > 1:
            raise ValueError(f"the key {name} is there twice")


def _parquet_columns(stream: IO[bytes], path: Path, expected_columns: Collection[str]) -> list[str]:
    schema = pq.read_schema(stream)
    keys = set(map(normalize_column_name, expected_columns))
    for field in schema:
        if normalize_column_name(field.name) in keys and not _can_be_text(field.type):
            raise InputError(f"{path}: column {field.name} is of type {field.type}; it must be text")
    return list(schema.names)


def _can_be_text(kind: pa.DataType) -> bool:
    try:
        pa.nulls(0, kind).cast(pa.string())
    except pa.ArrowNotImplementedError:
        return False
    return True


def _parquet_batches(stream: IO[bytes], path: Path, names: Mapping[str, str]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a Parquet file. Their line is the row number, from 1."""
    table, columns = pq.ParquetFile(stream), batch_columns(names)
    first = 1
    for batch in table.iter_batches(BATCH_ROWS, columns=list(names.values())):
        values = [_cast_to_binary(batch[names[column]]) if column in names else None for column in columns]
        yield columns_to_batch(pa.array(range(first, first + len(batch)), pa.int64()), values, columns)
        first += len(batch)


def _cast_to_binary(column: pa.Array) -> pa.Array:
    """Cast to binary, because Arrow does not validate UTF-8 on reading and fails later on invalid text."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_floating(kind):
        # Arrow prints the shortest digits for each width: a float32 of 0.1 is 0.1, but 0.10000000149 in Python.
        text = [value and as_text(float(value)) for value in column.cast(pa.string()).to_pylist()]
        return pa.array(text, pa.string()).cast(pa.large_binary())
    if pa.types.is_decimal(kind):
        return pa.array(map(as_text, column.to_pylist()), pa.string()).cast(pa.large_binary())
    if pa.types.is_fixed_size_binary(kind):
        column = column.cast(pa.binary())
    elif not (pa.types.is_large_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        column = column.cast(pa.string())
    return column.cast(pa.large_binary())


class Format(NamedTuple):
    """The functions that read a format.

    `read_columns` returns the column names of a file; the expected columns help it to find the delimiter.
    `read_batches` yields the rows in their order with their lines, given the names of the columns in the file.
    """

    read_columns: Callable[[IO[bytes], Path, Collection[str]], list[str]]
    read_batches: Callable[[IO[bytes], Path, Mapping[str, str]], Iterator[pa.RecordBatch]]


FORMATS = {
    "csv": Format(csv_columns, csv_batches),
    "tsv": Format(partial(csv_columns, delimiters="\t"), partial(csv_batches, delimiters="\t")),
    "jsonl": Format(_jsonl_columns, _jsonl_batches),
    # Spark and pandas write JSON Lines under this extension. `file_types` rejects a file that is one JSON array.
    "json": Format(_jsonl_columns, _jsonl_batches),
    "ndjson": Format(_jsonl_columns, _jsonl_batches),
    "parquet": Format(_parquet_columns, _parquet_batches),
}
