"""The engine that runs the Ibis expressions of the data stages: embedded DuckDB, out of core, or the user's Spark."""

import glob
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq
from ibis import BaseBackend

from titles.core.cpus import available_cpus
from titles.core.errors import InputError
from titles.core.progress import Progress
from titles.io.parquet_writer import ROW_GROUP_SIZE, DeterministicParquetWriter

MEMORY_LIMIT = "1500MB"
PROGRESS_SECONDS = 0.2
# How many rows to judge at a time: in DuckDB each takes about a kilobyte of memory; Spark cuts its work up itself.
PARTITION_ROWS = {"duckdb": 500_000, "pyspark": sys.maxsize}
PARTITION_BY = {"duckdb": "partition_by", "pyspark": "partitionBy"}


@contextmanager
def connect(workspace: Path) -> Iterator[tuple[BaseBackend, Path]]:
    """The engine that TITLES_ENGINE names, and a scratch folder on the disk of `workspace`.

    Raises InputError for an engine that is unknown or cannot be had.
    """
    name = os.environ.get("TITLES_ENGINE", "duckdb")
    if name not in ENGINES:
        raise InputError(f"TITLES_ENGINE: {name!r} is no engine; allowed are {', '.join(ENGINES)}")
    with TemporaryDirectory(prefix=".scratch-", dir=workspace.resolve()) as scratch:
        engine = ENGINES[name](Path(scratch))
        try:
            yield engine, Path(scratch)
        finally:
            engine.disconnect()


def _connect_duckdb(scratch: Path) -> BaseBackend:
    """Spills to `scratch` what exceeds `MEMORY_LIMIT`."""
    engine = ibis.duckdb.connect(
        memory_limit=MEMORY_LIMIT, threads=available_cpus(), temp_directory=str(scratch / "spilled")
    )
    # So that it knows how far it is, and leaves saying it to us.
    engine.settings["enable_progress_bar"] = True
    engine.settings["enable_progress_bar_print"] = False
    # Rows that a thread keeps for all parts together; a seventh less time than with the half million it has.
    engine.settings["partitioned_write_flush_threshold"] = 100_000
    return engine


def _connect_spark(scratch: Path) -> BaseBackend:
    """The Spark that SPARK_REMOTE or its own configuration names, else one on this machine."""
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError:
        raise InputError("TITLES_ENGINE: spark needs PySpark; make spark installs it") from None
    # Frames are small here, and tests compare what they hold.
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas")
    try:
        session = SparkSession.builder.appName("titles").getOrCreate()
    except PySparkException as error:
        raise InputError(f"TITLES_ENGINE: no Spark, which needs Java 17 or a SPARK_REMOTE: {error}") from None
    # What is read and written lies on a file system that all share, whatever file system a cluster prefers.
    return ibis.pyspark.connect(session, **{"fs.defaultFS": "file:///"})


ENGINES = {"duckdb": _connect_duckdb, "spark": _connect_spark}


def write_parquet(engine: BaseBackend, rows: ir.Table, path: Path, description: str, **options: str) -> None:
    """Writes `rows` to a Parquet file, in an order and with bytes of the engine's choice, and says how far it is.

    Spark, which says that itself, writes a folder of files, whose names are in the order of the rows.
    """
    if engine.name != "duckdb":
        engine.to_parquet(rows, path, **options)
        return
    with ThreadPoolExecutor(1) as thread, Progress(100, "%", description) as bar:
        writing = thread.submit(_copy_to_parquet, engine, rows, path, options)
        try:
            while wait([writing], PROGRESS_SECONDS).not_done:
                bar.update(max(0, int(engine.con.query_progress()) - bar.done))
        except BaseException:
            engine.con.interrupt()
            raise
        writing.result()


def read_parquet(engine: BaseBackend, path: Path) -> ir.Table:
    """The rows of a Parquet file, or of all in a folder, and of no other whose path matches this one as a pattern."""
    # Ibis would make it absolute, with whatever the folders above are called.
    absolute = str(path.absolute())
    if engine.name == "duckdb":
        files = glob.escape(absolute) + ("/*.parquet" if path.is_dir() else "")
        # A folder `year=2026` is no column.
        return engine.read_parquet(files, hive_partitioning=False)
    return engine.read_parquet(re.sub(r"([*?[\]{}])", r"\\\1", absolute))


def _copy_to_parquet(engine: BaseBackend, rows: ir.Table, path: Path, options: dict[str, str]) -> None:
    """Run DuckDB's COPY. Ibis would quote the path as Python does, which SQL cannot read if it holds `'` and `"`."""
    quoted = str(path).replace("'", "''")
    wanted = ", ".join(["FORMAT parquet", *(f"{name} {value}" for name, value in options.items())])
    engine.raw_sql(f"COPY ({engine.compile(rows)}) TO '{quoted}' ({wanted})")


def write_partitions(engine: BaseBackend, rows: ir.Table, folder: Path, description: str) -> None:
    """Writes `rows` as Parquet files in the folder `part=X` of `folder`, X being what stands in their column `part`."""
    write_parquet(engine, rows, folder, description, **{PARTITION_BY[engine.name]: "part"})


def read_partition(engine: BaseBackend, folder: Path, partition: str) -> ir.Table | None:
    """The rows of a part, where there are any."""
    found = folder / f"part={partition}"
    return read_parquet(engine, found) if found.exists() else None


def fetch_ordered(engine: BaseBackend, rows: ir.Table, scratch: Path) -> Iterator[pa.Table]:
    """The rows in their order: those of DuckDB at once, those of Spark, which may be many more, some at a time."""
    if engine.name == "duckdb":
        yield rows.to_pyarrow()
    else:
        yield from _read_via_parquet(scratch, engine, rows, "sorting")


def write_ordered(engine: BaseBackend, rows: ir.Table, columns: Sequence[str], path: Path, by: Sequence[str]) -> int:
    """Writes `columns` of `rows` to a Parquet file in the order of `by` and returns how many rows there are.

    `by` must order the rows totally, up to equal rows: only then do equal rows give equal bytes.
    """
    ordered = rows.order_by(list(by)).select(list(columns))
    with DeterministicParquetWriter(path, ordered.schema().to_pyarrow()) as groups:
        for some in _read_via_parquet(path.parent, engine, ordered, f"sorting {path.stem}"):
            groups.write(some)
    return groups.num_rows


def _read_via_parquet(scratch: Path, engine: BaseBackend, rows: ir.Table, description: str) -> Iterator[pa.Table]:
    """The rows in their order, some at a time, from files in `scratch`."""
    with TemporaryDirectory(prefix=".ordered-", dir=scratch.resolve()) as folder:
        written = Path(folder) / "rows.parquet"
        write_parquet(engine, rows, written, description)
        for file in sorted(written.glob("*.parquet")) or [written]:
            for batch in pq.ParquetFile(file).iter_batches(ROW_GROUP_SIZE):
                yield pa.Table.from_batches([batch])
