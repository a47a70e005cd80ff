"""Parquet files whose bytes depend on their rows alone, not on the pieces in which an engine gave them."""

from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

GROUP_ROWS = 131_072


class RowGroups:
    """Writes tables one after the other to a Parquet file, in groups of `GROUP_ROWS`."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        # Whether a column may be null is a matter of the expression, not of the rows.
        self.schema = pa.schema([pa.field(field.name, field.type) for field in schema])
        self.writer = pq.ParquetWriter(path, self.schema, compression="zstd")
        self.rest = self.schema.empty_table()
        self.num_rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and len(self.rest):
            self._write_group(self.rest)
        self.writer.close()

    def write(self, rows: pa.Table) -> None:
        """Adds the rows to the file, but for those that do not fill a group yet."""
        self.num_rows += len(rows)
        self.rest = pa.concat_tables([self.rest, rows.select(self.schema.names).cast(self.schema)])
        while len(self.rest) >= GROUP_ROWS:
            self._write_group(self.rest.slice(0, GROUP_ROWS))
            self.rest = self.rest.slice(GROUP_ROWS)

    def _write_group(self, rows: pa.Table) -> None:
        [group] = rows.combine_chunks().to_batches()
        self.writer.write_batch(group)
