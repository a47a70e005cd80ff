"""data/prepared: every usable title once, cleaned, with one category, in one split; and every row that was not usable.

train, validation, test.parquet   title, cleaned, category, language, label_quality
unlabelled.parquet                id, title, cleaned, language; there only if a test file without categories was given
rejected.parquet                  file, line, reason, title, category
sources.csv                       file, split, bytes, md5: what all of these were read from
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
    """Reads the folder `raw`, writes the folder `prepared`; counts the rows read, those of each split, those rejected.

    Raises InputError where a file cannot be used, a split gets no row, or train has fewer than two categories.
    """
    files = find_files(raw, params.columns)
    with atomic_directory(prepared) as unfinished, connect(unfinished) as (engine, scratch):
        read = write_raw_table(files, scratch / "raw.parquet")
        rows = validate_rows(read_parquet(engine, scratch / "raw.parquet"))
        _check_test_files(raw, rows)
        parts = 1 + read // PARTITION_ROWS[engine.name]
        write_partitions(engine, rows.mutate(part=hash_partition(parts)), scratch / "parts", "cleaning titles")
        (scratch / "raw.parquet").unlink()
        given = {file.split for file in files}
        with Progress(read, "titles", "judging titles") as bar:
            tables = _deduplicated_tables(engine, scratch, parts, given, params, bar)
            counts = {"read": read} | _write_splits(tables, scratch, unfinished)
        counts |= _write_unlabelled_and_rejected(engine, scratch, unfinished)
        write_sources(raw, {part: file.split for file in files for part in file.paths}, unfinished / "sources.csv")
        _check_splits(raw, read_parquet(engine, unfinished / "train.parquet"), counts)
        _log_unknown_categories(engine, unfinished, counts)
    log.info(", ".join(f"{count:,} {name}" for name, count in counts.items()))
    return counts


def _check_test_files(raw: Path, rows: ir.Table) -> None:
    """A test file is used whole: a title that says nothing is predicted, a row without category or id stops the run."""
    unreadable = _.fault.fill_null(INVALID_UTF8) != INVALID_UTF8
    unlabelled = (_.split == "test") & _.category.isnull()
    unnamed = (_.split == "unlabelled") & _.id.isnull()
    broken = rows.filter(_.split.isin(["test", "unlabelled"]), unreadable | unlabelled | unnamed)
    for row in broken.order_by("file", "line").limit(1).execute().itertuples():
        fault = row.fault if isinstance(row.fault, str) else "no id" if row.split == "unlabelled" else "empty category"
        raise InputError(f"{raw / row.file}, line {row.line}: {fault}; a test file is used whole, so mend the row")


def _deduplicated_tables(
    engine: BaseBackend,
    scratch: Path,
    num_partitions: int,
    provided_splits: set[str],
    params: PrepareParams,
    bar: Progress,
) -> Iterator[pa.Table]:
    """All rows that may be in a split, in the order of their hash."""
    columns = ["split", *dict.fromkeys(LABELLED_COLUMNS + REJECTED_COLUMNS)]
    for part in range(num_partitions):
        if (rows := read_partition(engine, scratch / "parts", str(part))) is not None:
            for table in fetch_ordered(
                engine, deduplicate_and_split(rows, provided_splits, params).select(columns), scratch
            ):
                bar.update(len(table))
                yield table


def _write_splits(tables: Iterator[pa.Table], scratch: Path, prepared: Path) -> dict[str, int]:
    """Writes the splits, and to `scratch` what was rejected; `parts` come in the order of the hash."""
    labelled = pa.schema([(column, pa.string()) for column in LABELLED_COLUMNS])
    rejected = pa.schema([(column, pa.int64() if column == "line" else pa.string()) for column in REJECTED_COLUMNS])
    with ExitStack() as stack:
        splits = {
            split: stack.enter_context(DeterministicParquetWriter(prepared / f"{split}.parquet", labelled))
            for split in ("train", "validation", "test")
        }
        faulty = stack.enter_context(DeterministicParquetWriter(scratch / "rejected.parquet", rejected))
        for rows in prefetch(tables):
            usable = pc.is_null(rows["reason"])
            for split, groups in splits.items():
                groups.write(rows.filter(pc.and_(usable, pc.equal(rows["split"], split))))
            faulty.write(rows.filter(pc.invert(usable)))
    return {split: groups.num_rows for split, groups in splits.items()}


def _write_unlabelled_and_rejected(engine: BaseBackend, scratch: Path, prepared: Path) -> dict[str, int]:
    """Writes the unlabelled titles, where there are any, and all rows that are in no split."""
    counts, by = {}, ["file", "line"]
    if (unlabelled := read_partition(engine, scratch / "parts", "unlabelled")) is not None:
        counts["unlabelled"] = write_ordered(
            engine, unlabelled, UNLABELLED_COLUMNS, prepared / "unlabelled.parquet", by
        )
    rejected = read_parquet(engine, scratch / "rejected.parquet")
    if (unusable := read_partition(engine, scratch / "parts", "unusable")) is not None:
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
        if unknown := rows.anti_join(train, "category").count().execute():
            log.warning(
                "%s of the %s titles of %s have a category that train lacks: no network can get these right",
                f"{unknown:,}", f"{counts[split]:,}", split,
            )  # fmt: skip
