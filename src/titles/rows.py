"""A row as it stands in its file, and many of them as a batch of Arrow's."""

import math
from decimal import Decimal
from typing import NamedTuple

import pyarrow as pa

COLUMNS = ("id", "title", "category", "language", "label_quality")
NO_VALUES = (None,) * len(COLUMNS)
DAMAGES = (OSError, pa.ArrowException)
BROKEN_UTF8 = "broken UTF-8"
SCHEMA = pa.schema(
    [
        pa.field("line", pa.int64()),
        *(pa.field(column, pa.string()) for column in COLUMNS),
        pa.field("fault", pa.string()),
    ]
)


class Row(NamedTuple):
    """The values of `COLUMNS`, and why the row could not be read if it could not.

    Bytes that are no UTF-8 stand in the values as lone surrogates.
    """

    line: int
    values: tuple[str | None, ...]
    fault: str | None = None


def as_text(value: object) -> str | None:
    """The one spelling of a value in all formats: 120.0 is `120`, True is `true`; NaN and infinity are missing."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, Decimal):
        return f"{value.normalize():f}" if value.is_finite() else None
    return None if value is None else str(value)


def batch_of(rows: list[Row]) -> pa.RecordBatch:
    """The rows as a batch of `SCHEMA`; bytes that are no UTF-8 become `?`, and the fault of their row."""
    try:
        return _as_they_are(rows)
    except UnicodeEncodeError:
        return _as_they_are([_without_surrogates(row) for row in rows])


def _as_they_are(rows: list[Row]) -> pa.RecordBatch:
    flat = ((row.line, *row.values, row.fault) for row in rows)
    columns = zip(*flat, strict=True) if rows else [[]] * len(SCHEMA)
    return pa.record_batch([pa.array(column, kind) for column, kind in zip(columns, SCHEMA.types, strict=True)], SCHEMA)


def _without_surrogates(row: Row) -> Row:
    values = tuple(value and value.encode("utf-8", errors="replace").decode() for value in row.values)
    return row if values == row.values else Row(row.line, values, BROKEN_UTF8)


def batch_of_columns(lines: pa.Array, columns: list[pa.Array | None]) -> pa.RecordBatch:
    """A batch of `SCHEMA` of rows without a fault; `columns` are binary, None for one that is absent."""
    absent = pa.nulls(len(lines), pa.string())
    try:
        values = [absent if column is None else column.cast(pa.string()) for column in columns]
    except pa.ArrowInvalid:
        texts = [[None] * len(lines) if column is None else map(_text, column.to_pylist()) for column in columns]
        return batch_of([Row(line, tuple(values)) for line, *values in zip(lines.to_pylist(), *texts, strict=True)])
    return pa.record_batch([lines, *values, absent], SCHEMA)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", errors="surrogateescape")


def by_line(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    """The rows of all batches in the order of their lines."""
    filled = [batch for batch in batches if len(batch)]
    if len(filled) < 2:
        return filled[0] if filled else batches[0]
    return pa.concat_batches(filled).sort_by("line")
