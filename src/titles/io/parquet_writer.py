"""Write Parquet files whose bytes depend only on the rows, not on the batches in which an engine returns them."""

from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP_SIZE = 131_072


class DeterministicParquetWriter:
    """Write tables one after the other to a Parquet file, in row groups of `ROW_GROUP_SIZE`."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        # Nullability depends on the expression, not on the rows, so it is dropped.
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
        """Append rows; those that do not fill a row group are buffered."""
        self.num_rows += len(rows)
        self.buffered = pa.concat_tables([self.buffered, rows.select(self.schema.names).cast(self.schema)])
        while len(self.buffered) >= ROW_GROUP_SIZE:
            self._write_group(self.buffered.slice(0, ROW_GROUP_SIZE))
            self.buffered = self.buffered.slice(ROW_GROUP_SIZE)

    def _write_group(self, rows: pa.Table) -> None:
        [group] = rows.combine_chunks().to_batches()
        self.writer.write_batch(group)
