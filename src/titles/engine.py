"""The engine that runs the Ibis expressions of the data stages: embedded DuckDB, out of core, or the user's Spark."""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq
from ibis import BaseBackend

from titles.errors import InputError

MEMORY_LIMIT = "2GB"
GROUP_ROWS = 131_072


@contextmanager
def connected(workspace: Path) -> Iterator[tuple[BaseBackend, Path]]:
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


def _duckdb(scratch: Path) -> BaseBackend:
    """Spills to `scratch` what exceeds `MEMORY_LIMIT`."""
    return ibis.duckdb.connect(
        memory_limit=MEMORY_LIMIT, threads=os.cpu_count(), temp_directory=str(scratch / "spilled")
    )


def _spark(scratch: Path) -> BaseBackend:
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


ENGINES = {"duckdb": _duckdb, "spark": _spark}


def write_ordered(engine: BaseBackend, rows: ir.Table, columns: Sequence[str], path: Path, by: Sequence[str]) -> int:
    """Writes `columns` of `rows` to a Parquet file in the order of `by` and returns how many rows there are.

    `by` must order the rows totally, up to equal rows: only then do equal rows give equal bytes. The bytes an engine
    writes depend on how it came by the rows, so Arrow writes them once more, in groups of `GROUP_ROWS`.
    """
    with TemporaryDirectory(prefix=".ordered-", dir=path.parent.resolve()) as folder:
        ordered = Path(folder) / "rows.parquet"
        engine.to_parquet(rows.order_by(list(by)).select(list(columns)), ordered)
        # Spark makes a folder of files, whose names are in the order of the rows.
        files = sorted(ordered.glob("*.parquet")) if ordered.is_dir() else [ordered]
        parts = [pq.ParquetFile(file) for file in files]
        # Whether a column may be null is a matter of the expression, not of the rows.
        schema = pa.schema([pa.field(field.name, field.type) for field in parts[0].schema_arrow])
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for group in _groups(parts):
                writer.write_table(group.cast(schema))
        return sum(part.metadata.num_rows for part in parts)


def _groups(parts: Sequence[pq.ParquetFile]) -> Iterator[pa.Table]:
    """The rows of all parts, `GROUP_ROWS` at a time, whatever part they are in."""
    rest: pa.Table | None = None
    for batch in (batch for part in parts for batch in part.iter_batches(GROUP_ROWS)):
        rows = pa.Table.from_batches([batch])
        rest = rows if rest is None else pa.concat_tables([rest, rows])
        while len(rest) >= GROUP_ROWS:
            yield rest.slice(0, GROUP_ROWS).combine_chunks()
            rest = rest.slice(GROUP_ROWS)
    if rest is not None and len(rest):
        yield rest.combine_chunks()
