"""The engine that runs the Ibis expressions of the data stages: embedded DuckDB, out of core, or Spark."""

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
# Rows deduplicated at a time: DuckDB needs about 1 kB of memory for each; Spark partitions its work itself.
PARTITION_ROWS = {"duckdb": 500_000, "pyspark": sys.maxsize}
PARTITION_BY = {"duckdb": "partition_by", "pyspark": "partitionBy"}


@contextmanager
def connect(workspace: Path) -> Iterator[tuple[BaseBackend, Path]]:
    """Connect to the engine TITLES_ENGINE; also yield a scratch folder on the disk of `workspace`.

    Raise InputError if the engine is not supported or not available.
    """
    name = os.environ.get("TITLES_ENGINE", "duckdb")
    if name not in ENGINES:
        raise InputError(f"TITLES_ENGINE: {name!r} is not an engine; allowed are {', '.join(ENGINES)}")
    with TemporaryDirectory(prefix=".scratch-", dir=workspace.resolve()) as scratch:
        engine = ENGINES[name](Path(scratch))
        try:
            yield engine, Path(scratch)
        finally:
            engine.disconnect()


def _connect_duckdb(scratch: Path) -> BaseBackend:
    """Connect to an embedded DuckDB that spills to `scratch` beyond `MEMORY_LIMIT`."""
    engine = ibis.duckdb.connect(
        memory_limit=MEMORY_LIMIT, threads=available_cpus(), temp_directory=str(scratch / "spilled")
    )
    # DuckDB measures the progress, and `write_parquet` displays it.
    engine.settings["enable_progress_bar"] = True
    engine.settings["enable_progress_bar_print"] = False
    # Rows that a thread buffers for all partitions; a seventh faster than with the default of half a million.
    engine.settings["partitioned_write_flush_threshold"] = 100_000
    return engine


def _connect_spark(scratch: Path) -> BaseBackend:
    """Connect to the Spark of SPARK_REMOTE or of its own configuration, or start one on this machine."""
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError:
        raise InputError("TITLES_ENGINE: spark needs PySpark; make spark installs it") from None
    # Only small frames are converted to pandas, and tests compare their contents.
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas")
    try:
        session = SparkSession.builder.appName("titles").getOrCreate()
    except PySparkException as error:
        raise InputError(f"TITLES_ENGINE: no Spark, which needs Java 17 or a SPARK_REMOTE: {error}") from None
    # Inputs and outputs are on a shared file system, whatever the default file system of the cluster.
    return ibis.pyspark.connect(session, **{"fs.defaultFS": "file:///"})


ENGINES = {"duckdb": _connect_duckdb, "spark": _connect_spark}


def write_parquet(engine: BaseBackend, rows: ir.Table, path: Path, description: str, **options: str) -> None:
    """Write `rows` to a Parquet file and show the progress; the engine chooses order and bytes.

    Spark writes a folder of files instead, with names in the order of the rows, and shows its own progress.
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
    """The rows of a Parquet file, or of all Parquet files in a folder. Pattern characters in `path` are literal."""
    # Ibis would make the path absolute after the escaping, and add unescaped folder names.
    absolute = str(path.absolute())
    if engine.name == "duckdb":
        files = glob.escape(absolute) + ("/*.parquet" if path.is_dir() else "")
        # A folder named `year=2026` must not become a column.
        return engine.read_parquet(files, hive_partitioning=False)
    return engine.read_parquet(re.sub(r"([*?[\]{}])", r"\\\1", absolute))


def _copy_to_parquet(engine: BaseBackend, rows: ir.Table, path: Path, options: dict[str, str]) -> None:
    """Run DuckDB's COPY. Ibis quotes the path as Python does, which is invalid SQL if it contains `'` and `"`."""
    quoted = str(path).replace("'", "''")
    copy_options = ", ".join(["FORMAT parquet", *(f"{name} {value}" for name, value in options.items())])
    engine.raw_sql(f"COPY ({engine.compile(rows)}) TO '{quoted}' ({copy_options})")


def write_partitions(engine: BaseBackend, rows: ir.Table, folder: Path, description: str) -> None:
    """Write the rows with the value X in the column `partition_id` to the folder `partition_id=X` of `folder`."""
    write_parquet(engine, rows, folder, description, **{PARTITION_BY[engine.name]: "partition_id"})


def read_partition(engine: BaseBackend, folder: Path, partition: str) -> ir.Table | None:
    """The rows of a partition, or None if it is empty."""
    path = folder / f"partition_id={partition}"
    return read_parquet(engine, path) if path.exists() else None


def fetch_ordered(engine: BaseBackend, rows: ir.Table, scratch: Path) -> Iterator[pa.Table]:
    """Yield the rows in their order: from DuckDB as one table, from Spark, which may return many more, in batches."""
    if engine.name == "duckdb":
        yield rows.to_pyarrow()
    else:
        yield from _read_via_parquet(scratch, engine, rows, "sorting")


def write_ordered(engine: BaseBackend, rows: ir.Table, columns: Sequence[str], path: Path, by: Sequence[str]) -> int:
    """Write `columns` of `rows` to a Parquet file in the order of `by`; return the number of rows.

    `by` must be a total order up to equal rows, because equal input must give equal bytes.
    """
    ordered = rows.order_by(list(by)).select(list(columns))
    with DeterministicParquetWriter(path, ordered.schema().to_pyarrow()) as writer:
        for table in _read_via_parquet(path.parent, engine, ordered, f"sorting {path.stem}"):
            writer.write(table)
    return writer.num_rows


def _read_via_parquet(scratch: Path, engine: BaseBackend, rows: ir.Table, description: str) -> Iterator[pa.Table]:
    """Yield the rows in their order, in batches, by way of files in `scratch`."""
    with TemporaryDirectory(prefix=".ordered-", dir=scratch.resolve()) as folder:
        path = Path(folder) / "rows.parquet"
        write_parquet(engine, rows, path, description)
        for file in sorted(path.glob("*.parquet")) or [path]:
            for batch in pq.ParquetFile(file).iter_batches(ROW_GROUP_SIZE):
                yield pa.Table.from_batches([batch])
