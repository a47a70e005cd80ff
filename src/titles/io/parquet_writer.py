"""Parquet files whose bytes depend on their rows alone, not on the pieces in which an engine gave them."""

from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP_SIZE = 131_072


class DeterministicParquetWriter:
    """Writes tables one after the other to a Parquet file, in groups of `GROUP_ROWS`."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        # Whether a column may be null is a matter of the expression, not of the rows.
        self.schema = pa.schema([pa.field(field.name, field.type) for field in schema])
        self.writer = pq.ParquetWriter(path, self.schema, compression="zstd")
        self.buffered = self.schema.empty_table()
        self.num_rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and len(self.buffered):
            self._write_group(self.buffered)
        self.writer.close()

    def write(self, rows: pa.Table) -> None:
        """Adds the rows to the file, but for those that do not fill a group yet."""
        self.num_rows += len(rows)
        self.buffered = pa.concat_tables([self.buffered, rows.select(self.schema.names).cast(self.schema)])
        while len(self.buffered) >= ROW_GROUP_SIZE:
            self._write_group(self.buffered.slice(0, ROW_GROUP_SIZE))
            self.buffered = self.buffered.slice(ROW_GROUP_SIZE)

    def _write_group(self, rows: pa.Table) -> None:
        [group] = rows.combine_chunks().to_batches()
        self.writer.write_batch(group)
