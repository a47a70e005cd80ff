"""data/reduced: the training titles of this experiment, a stratified sample of data/prepared/train.parquet."""

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import ibis
import ibis.expr.types as ir
import pyarrow.parquet as pq
from ibis import _

from titles.core.atomic_directory import atomic_directory, require_output
from titles.core.constraints import Interval
from titles.preprocessing.engine import connect, read_parquet, write_ordered

log = logging.getLogger(__name__)

MILLION = 1_000_000


@dataclass(frozen=True)
class ReduceParams:
    """Section `reduce` of params.yaml; docs/parameters.md explains the keys."""

    fraction: Annotated[float, Interval("(0, 1]")]
    min_rows: Annotated[int, Interval("[1, inf)")]


def reduce(prepared: Path, reduced: Path, params: ReduceParams) -> dict[str, int]:
    """Sample `fraction` of each category, rounded up, and at least `min_rows`; return the rows read and sampled.

    Rows are taken in the order of their hash, so that a smaller sample is a subset of a larger one.
    """
    train = require_output(prepared / "train.parquet", "prepare")
    with atomic_directory(reduced) as unfinished:
        if params.fraction == 1:
            # The file is sorted by hash already.
            shutil.copyfile(train, unfinished / "train.parquet")
        else:
            with connect(unfinished) as (engine, _scratch):
                rows = read_parquet(engine, train)
                sample = _stratified_sample(rows, params)
                write_ordered(engine, sample, rows.columns, unfinished / "train.parquet", by=["hash", *rows.columns])
    files = {"read": train, "train": reduced / "train.parquet"}
    counts = {name: pq.read_metadata(file).num_rows for name, file in files.items()}
    log.info("sampled %s of %s training titles", f"{counts['train']:,}", f"{counts['read']:,}")
    if num_left_out := counts["read"] - counts["train"]:
        log.warning(
            "reduce.fraction is %s: %s training titles are left out; to use all: dvc exp run -S reduce.fraction=1",
            params.fraction,
            f"{num_left_out:,}",
        )
    return counts


def _stratified_sample(train: ir.Table, params: ReduceParams) -> ir.Table:
    """The first rows of each category by hash, up to the sample size of the category."""
    # Integer arithmetic, because engines differ in how they round 0.1 times a count.
    millionths = round(params.fraction * MILLION)
    hashed = train.mutate(hash=_.cleaned.hexdigest("md5"))
    ranked = hashed.select(
        "category",
        max_hash="hash",
        rank=ibis.row_number().over(group_by="category", order_by="hash"),
        size=_.count().over(group_by="category"),
    )
    sample_size = ibis.least(_.size, ibis.greatest((_.size * millionths + MILLION - 1) // MILLION, params.min_rows))
    last_rows = ranked.filter(_.rank == sample_size - 1)
    return hashed.join(last_rows.select("category", "max_hash"), "category").filter(_.hash <= _.max_hash)
