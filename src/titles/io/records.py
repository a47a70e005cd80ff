"""Rows as read from a file, singly and as Arrow record batches."""

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import pyarrow as pa

COLUMNS = ("id", "title", "category", "language", "label_quality")
NO_VALUES = (None,) * len(COLUMNS)
READ_ERRORS = (OSError, pa.ArrowException)
INVALID_UTF8 = "broken UTF-8"


def batch_columns(names: Mapping[str, str]) -> tuple[str, ...]:
    """The columns of a batch: `COLUMNS`, then the additional columns of `names`."""
    return *COLUMNS, *(column for column in names if column not in COLUMNS)


def batch_schema(columns: Sequence[str]) -> pa.Schema:
    """The schema of a batch with these columns."""
    texts = [pa.field(column, pa.string()) for column in columns]
    return pa.schema([pa.field("line", pa.int64()), *texts, pa.field("fault", pa.string())])


SCHEMA = batch_schema(COLUMNS)


class Row(NamedTuple):
    """The line and values of a row; the values are `NO_VALUES` if it could not be parsed.

    `fault` is the reason why the row cannot be used, if any. Invalid UTF-8 becomes lone surrogates in the values.
    """

    line: int
    values: tuple[str | None, ...]
    fault: str | None = None


def as_text(value: object) -> str | None:
    """Format a value equally for all formats: 120.0 as `120`, True as `true`; NaN and infinity become None."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, Decimal):
        digits = f"{value:f}"
        return digits.rstrip("0").rstrip(".") if "." in digits else digits
    return None if value is None else str(value)


def rows_to_batch(rows: list[Row], columns: Sequence[str] = COLUMNS) -> pa.RecordBatch:
    """Convert rows to a batch. Invalid UTF-8 becomes `?` and sets the fault of the row."""
    try:
        return _build_batch(rows, columns)
    except UnicodeEncodeError:
        return _build_batch([_replace_surrogates(row) for row in rows], columns)


def _build_batch(rows: list[Row], columns: Sequence[str]) -> pa.RecordBatch:
    schema, nulls = batch_schema(columns), (None,) * len(columns)
    flat = ((row.line, *(nulls if row.values == NO_VALUES else row.values), row.fault) for row in rows)
    values = zip(*flat, strict=True) if rows else [[]] * len(schema)
    return pa.record_batch([pa.array(column, kind) for column, kind in zip(values, schema.types, strict=True)], schema)


def _replace_surrogates(row: Row) -> Row:
    values = tuple(value and value.encode("utf-8", errors="replace").decode() for value in row.values)
    return row if values == row.values else Row(row.line, values, INVALID_UTF8)


def columns_to_batch(
    lines: pa.Array, values: list[pa.Array | None], columns: Sequence[str] = COLUMNS
) -> pa.RecordBatch:
    """Convert columns of binary values to a batch. None is a column that the file lacks.

    Invalid UTF-8 becomes `?` and sets the fault of the row; no other row has a fault.
    """
    nulls = pa.nulls(len(lines), pa.string())
    try:
        texts = [nulls if column is None else column.cast(pa.string()) for column in values]
    except pa.ArrowInvalid:
        lists = [[None] * len(lines) if column is None else map(_decode_utf8, column.to_pylist()) for column in values]
        rows = [Row(line, tuple(texts)) for line, *texts in zip(lines.to_pylist(), *lists, strict=True)]
        return rows_to_batch(rows, columns)
    return pa.record_batch([lines, *texts, nulls], batch_schema(columns))


def _decode_utf8(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", errors="surrogateescape")


def concat_by_line(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    """Concatenate the batches and sort the rows by line."""
    non_empty = [batch for batch in batches if len(batch)]
    if len(non_empty) < 2:
        return non_empty[0] if non_empty else batches[0]
    return pa.concat_batches(non_empty).sort_by("line")
