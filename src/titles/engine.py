"""The engine that runs the Ibis expressions of the data stages: embedded DuckDB, out of core."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.backends.duckdb import Backend

MEMORY_LIMIT = "2GB"
GROUP_ROWS = 131_072


@contextmanager
def connected(workspace: Path) -> Iterator[tuple[Backend, Path]]:
    """A DuckDB that spills what exceeds `MEMORY_LIMIT`, and a scratch folder on the disk of `workspace`."""
    with TemporaryDirectory(prefix=".scratch-", dir=workspace) as scratch:
        engine = ibis.duckdb.connect(
            memory_limit=MEMORY_LIMIT, threads=os.cpu_count(), temp_directory=str(Path(scratch) / "spilled")
        )
        try:
            yield engine, Path(scratch)
        finally:
            engine.disconnect()


def write_ordered(engine: Backend, rows: ir.Table, columns: Sequence[str], path: Path, by: Sequence[str]) -> int:
    """Writes `columns` of `rows` to a Parquet file in the order of `by` and returns how many rows there are.

    `by` must order the rows totally, up to equal rows: only then do equal rows give equal bytes. The bytes DuckDB
    writes depend on how it came by the rows, so Arrow writes them once more, in groups of `GROUP_ROWS`.
    """
    ordered = path.with_suffix(".ordered")
    engine.to_parquet(rows.order_by(list(by)).select(list(columns)), ordered)
    source = pq.ParquetFile(ordered)
    # Whether a column may be null is a matter of the expression, not of the rows.
    schema = pa.schema([pa.field(field.name, field.type) for field in source.schema_arrow])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for group in source.iter_batches(GROUP_ROWS):
            writer.write_batch(group.cast(schema))
    ordered.unlink()
    return int(source.metadata.num_rows)
