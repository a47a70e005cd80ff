"""data/prepared: every usable title once, cleaned, with one category, in one split; and all rejected rows.

train, validation, test.parquet   title, cleaned, category, language, label_quality
unlabelled.parquet                id, title, cleaned, language; written only if there is a test file without categories
rejected.parquet                  file, line, reason, title, category
sources.csv                       file, split, bytes, md5 of the files that were read
"""

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc
from ibis import BaseBackend, _

from titles.core.atomic_directory import atomic_directory
from titles.core.errors import InputError
from titles.core.prefetch import prefetch
from titles.core.progress import Progress
from titles.data.provenance import write_sources
from titles.io.file_discovery import find_files
from titles.io.parquet_writer import DeterministicParquetWriter
from titles.io.records import INVALID_UTF8
from titles.preprocessing.dedup_split import PrepareParams, deduplicate_and_split, hash_partition, validate_rows
from titles.preprocessing.engine import (
    PARTITION_ROWS,
    connect,
    fetch_ordered,
    read_parquet,
    read_partition,
    write_ordered,
    write_partitions,
)
from titles.preprocessing.staging import write_raw_table

log = logging.getLogger(__name__)

LABELLED_COLUMNS = ["title", "cleaned", "category", "language", "label_quality"]
UNLABELLED_COLUMNS = ["id", "title", "cleaned", "language"]
REJECTED_COLUMNS = ["file", "line", "reason", "title", "category"]


def prepare(raw: Path, prepared: Path, params: PrepareParams) -> dict[str, int]:
    """Read the folder `raw`, write the folder `prepared`; return the number of rows read, in each split and rejected.

    Raise InputError if a file cannot be used, a split gets no row, or train has fewer than two categories.
    """
    files = find_files(raw, params.columns)
    with atomic_directory(prepared) as unfinished, connect(unfinished) as (engine, scratch):
        num_rows = write_raw_table(files, scratch / "raw.parquet")
        rows = validate_rows(read_parquet(engine, scratch / "raw.parquet"))
        _check_test_files(raw, rows)
        num_partitions = 1 + num_rows // PARTITION_ROWS[engine.name]
        rows = rows.mutate(partition_id=hash_partition(num_partitions))
        write_partitions(engine, rows, scratch / "partitions", "cleaning titles")
        (scratch / "raw.parquet").unlink()
        provided_splits = {file.split for file in files}
        with Progress(num_rows, "titles", "deduplicating titles") as bar:
            tables = _deduplicated_tables(engine, scratch, num_partitions, provided_splits, params, bar)
            counts = {"read": num_rows} | _write_splits(tables, scratch, unfinished)
        counts |= _write_unlabelled_and_rejected(engine, scratch, unfinished)
        write_sources(raw, {path: file.split for file in files for path in file.paths}, unfinished / "sources.csv")
        _check_splits(raw, read_parquet(engine, unfinished / "train.parquet"), counts)
        _log_unknown_categories(engine, unfinished, counts)
    log.info(", ".join(f"{count:,} {name}" for name, count in counts.items()))
    return counts


def _check_test_files(raw: Path, rows: ir.Table) -> None:
    """Raise InputError if a row of a test file is unreadable or lacks its category or id.

    A test file is used completely: titles without a usable word are predicted too.
    """
    unreadable = _.fault.fill_null(INVALID_UTF8) != INVALID_UTF8
    without_category = (_.split == "test") & _.category.isnull()
    without_id = (_.split == "unlabelled") & _.id.isnull()
    broken = rows.filter(_.split.isin(["test", "unlabelled"]), unreadable | without_category | without_id)
    for row in broken.order_by("file", "line").limit(1).execute().itertuples():
        fault = row.fault if isinstance(row.fault, str) else "no id" if row.split == "unlabelled" else "empty category"
        raise InputError(f"{raw / row.file}, line {row.line}: {fault}; every row of a test file is used, so correct it")


def _deduplicated_tables(
    engine: BaseBackend,
    scratch: Path,
    num_partitions: int,
    provided_splits: set[str],
    params: PrepareParams,
    bar: Progress,
) -> Iterator[pa.Table]:
    """Yield the labelled rows with their split or reason, in the order of their hash."""
    columns = ["split", *dict.fromkeys(LABELLED_COLUMNS + REJECTED_COLUMNS)]
    for index in range(num_partitions):
        if (rows := read_partition(engine, scratch / "partitions", str(index))) is not None:
            resolved = deduplicate_and_split(rows, provided_splits, params).select(columns)
            for table in fetch_ordered(engine, resolved, scratch):
                bar.update(len(table))
                yield table


def _write_splits(tables: Iterator[pa.Table], scratch: Path, prepared: Path) -> dict[str, int]:
    """Write the splits to `prepared` and the rejected rows to `scratch`; return the number of rows of each split."""
    labelled = pa.schema([(column, pa.string()) for column in LABELLED_COLUMNS])
    rejected = pa.schema([(column, pa.int64() if column == "line" else pa.string()) for column in REJECTED_COLUMNS])
    with ExitStack() as stack:
        writers = {
            split: stack.enter_context(DeterministicParquetWriter(prepared / f"{split}.parquet", labelled))
            for split in ("train", "validation", "test")
        }
        rejected_writer = stack.enter_context(DeterministicParquetWriter(scratch / "rejected.parquet", rejected))
        for rows in prefetch(tables):
            usable = pc.is_null(rows["reason"])
            for split, writer in writers.items():
                writer.write(rows.filter(pc.and_(usable, pc.equal(rows["split"], split))))
            rejected_writer.write(rows.filter(pc.invert(usable)))
    return {split: writer.num_rows for split, writer in writers.items()}


def _write_unlabelled_and_rejected(engine: BaseBackend, scratch: Path, prepared: Path) -> dict[str, int]:
    """Write the unlabelled titles, if there are any, and all rejected rows; return the number of rows of both."""
    counts, by = {}, ["file", "line"]
    if (unlabelled := read_partition(engine, scratch / "partitions", "unlabelled")) is not None:
        counts["unlabelled"] = write_ordered(
            engine, unlabelled, UNLABELLED_COLUMNS, prepared / "unlabelled.parquet", by
        )
    rejected = read_parquet(engine, scratch / "rejected.parquet")
    if (unusable := read_partition(engine, scratch / "partitions", "unusable")) is not None:
        rejected = ibis.union(rejected, unusable.select(REJECTED_COLUMNS))
    for row in rejected.reason.value_counts(name="rows").order_by("reason").execute().itertuples():
        log.info("rejected %s: %s", f"{row.rows:,}", row.reason)
    counts["rejected"] = write_ordered(engine, rejected, REJECTED_COLUMNS, prepared / "rejected.parquet", by)
    return counts


def _check_splits(raw: Path, train: ir.Table, counts: dict[str, int]) -> None:
    for split in ("train", "validation", "test"):
        if not counts[split]:
            raise InputError(
                f"{raw}: {split} gets none of the {counts['read']:,} rows; give more rows or a {split} file"
            )
    if train.category.nunique().execute() < 2:
        raise InputError(
            f"{raw}: all of train is {train.category.first().execute()}; a classifier needs two categories"
        )


def _log_unknown_categories(engine: BaseBackend, prepared: Path, counts: dict[str, int]) -> None:
    train = read_parquet(engine, prepared / "train.parquet").select("category").distinct()
    for split in ("validation", "test"):
        rows = read_parquet(engine, prepared / f"{split}.parquet")
        if num_unknown := rows.anti_join(train, "category").count().execute():
            log.warning(
                "%s of the %s titles of %s have a category that train lacks: no network can predict it",
                f"{num_unknown:,}", f"{counts[split]:,}", split,
            )  # fmt: skip
