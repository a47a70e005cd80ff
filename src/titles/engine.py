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

from titles.row_groups import GROUP_ROWS, RowGroups

MEMORY_LIMIT = "1500MB"


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


def write_parts(engine: Backend, rows: ir.Table, folder: Path) -> None:
    """Writes `rows` as Parquet files in the folder `part=X` of `folder`, X being what stands in their column `part`."""
    engine.to_parquet(rows, folder, partition_by="part")


def read_part(engine: Backend, folder: Path, part: str) -> ir.Table | None:
    """The rows of a part, where there are any."""
    files = sorted((folder / f"part={part}").glob("*.parquet"))
    return engine.read_parquet(files, hive_partitioning=False) if files else None


def write_ordered(engine: Backend, rows: ir.Table, columns: Sequence[str], path: Path, by: Sequence[str]) -> int:
    """Writes `columns` of `rows` to a Parquet file in the order of `by` and returns how many rows there are.

    `by` must order the rows totally, up to equal rows: only then do equal rows give equal bytes.
    """
    ordered = path.with_suffix(".ordered")
    engine.to_parquet(rows.order_by(list(by)).select(list(columns)), ordered)
    source = pq.ParquetFile(ordered)
    with RowGroups(path, source.schema_arrow) as groups:
        for batch in source.iter_batches(GROUP_ROWS):
            groups.write(pa.Table.from_batches([batch]))
    ordered.unlink()
    return groups.num_rows
