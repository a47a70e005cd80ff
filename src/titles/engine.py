"""The engine that runs the Ibis expressions of the data stages: embedded DuckDB, out of core."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.backends.duckdb import Backend

from titles.progress import Progress
from titles.row_groups import GROUP_ROWS, RowGroups

MEMORY_LIMIT = "1500MB"
PROGRESS_SECONDS = 0.2


@contextmanager
def connected(workspace: Path) -> Iterator[tuple[Backend, Path]]:
    """A DuckDB that spills what exceeds `MEMORY_LIMIT`, and a scratch folder on the disk of `workspace`."""
    with TemporaryDirectory(prefix=".scratch-", dir=workspace) as scratch:
        engine = ibis.duckdb.connect(
            memory_limit=MEMORY_LIMIT,
            threads=os.cpu_count(),
            temp_directory=str(Path(scratch) / "spilled"),
        )
        # So that it knows how far it is, and leaves saying it to us.
        engine.settings["enable_progress_bar"] = True
        engine.settings["enable_progress_bar_print"] = False
        # Rows that a thread keeps for all parts together; a seventh less time than with the half million it has.
        engine.settings["partitioned_write_flush_threshold"] = 100_000
        try:
            yield engine, Path(scratch)
        finally:
            engine.disconnect()


def write_parquet(engine: Backend, rows: ir.Table, path: Path, what: str, **options: str) -> None:
    """Writes `rows` to a Parquet file, in an order and with bytes of the engine's choice, and says how far it is."""
    with ThreadPoolExecutor(1) as thread, Progress(100, "%", what) as bar:
        writing = thread.submit(engine.to_parquet, rows, path, **options)
        try:
            while wait([writing], PROGRESS_SECONDS).not_done:
                bar.update(max(0, int(engine.con.query_progress()) - bar.done))
        except BaseException:
            engine.con.interrupt()
            raise
        writing.result()


def write_parts(engine: Backend, rows: ir.Table, folder: Path, what: str) -> None:
    """Writes `rows` as Parquet files in the folder `part=X` of `folder`, X being what stands in their column `part`."""
    write_parquet(engine, rows, folder, what, partition_by="part")


def read_part(engine: Backend, folder: Path, part: str) -> ir.Table | None:
    """The rows of a part, where there are any."""
    files = sorted((folder / f"part={part}").glob("*.parquet"))
    return engine.read_parquet(files, hive_partitioning=False) if files else None


def write_ordered(engine: Backend, rows: ir.Table, columns: Sequence[str], path: Path, by: Sequence[str]) -> int:
    """Writes `columns` of `rows` to a Parquet file in the order of `by` and returns how many rows there are.

    `by` must order the rows totally, up to equal rows: only then do equal rows give equal bytes.
    """
    ordered = path.with_suffix(".ordered")
    write_parquet(engine, rows.order_by(list(by)).select(list(columns)), ordered, f"sorting {path.stem}")
    source = pq.ParquetFile(ordered)
    with RowGroups(path, source.schema_arrow) as groups:
        for batch in source.iter_batches(GROUP_ROWS):
            groups.write(pa.Table.from_batches([batch]))
    ordered.unlink()
    return groups.num_rows
