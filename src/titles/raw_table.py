"""Raw rows as one Parquet file that any engine can scan, a row of it for each row that was read.

file, line, split     where the row stands
id … label_quality    as written, null where absent
fault                 why it could not be read, else null
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from titles.formats import COLUMNS, Row
from titles.raw import RawFile

BROKEN_UTF8 = "broken UTF-8"
BATCH_ROWS = 65_536
SCHEMA = pa.schema(
    [
        pa.field("file", pa.string()),
        pa.field("line", pa.int64()),
        pa.field("split", pa.string()),
        *(pa.field(column, pa.string()) for column in COLUMNS),
        pa.field("fault", pa.string()),
    ]
)


def write_raw_table(files: list[RawFile], path: Path) -> int:
    """Writes the rows of `files` to `path` and returns how many there are."""
    rows = 0
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for file in files:
            for batch in _batches(file):
                writer.write_batch(batch)
                rows += len(batch)
    return rows


def _batches(file: RawFile) -> Iterator[pa.RecordBatch]:
    rows = file.rows()
    while batch := list(islice(rows, BATCH_ROWS)):
        try:
            yield _record_batch(file, batch)
        except UnicodeEncodeError:
            yield _record_batch(file, [_without_surrogates(row) for row in batch])


def _record_batch(file: RawFile, rows: list[Row]) -> pa.RecordBatch:
    lines, values, faults = zip(*rows, strict=True)
    place = [[file.path.name] * len(rows), lines, [file.split] * len(rows)]
    columns = [*place, *zip(*values, strict=True), faults]
    return pa.record_batch([pa.array(column, kind) for column, kind in zip(columns, SCHEMA.types, strict=True)], SCHEMA)


def _without_surrogates(row: Row) -> Row:
    """The row with `?` for every byte that is no UTF-8, and that as its fault."""
    values = tuple(value and value.encode("utf-8", errors="replace").decode() for value in row.values)
    return row if values == row.values else Row(row.line, values, BROKEN_UTF8)
