"""data/reduced: the training titles of this experiment, a stratified part of data/prepared/train.parquet."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import ibis
from ibis import _

from titles.engine import connected, write_ordered
from titles.limits import Interval
from titles.outputs import whole

log = logging.getLogger(__name__)

MILLION = 1_000_000


@dataclass(frozen=True)
class ReduceParams:
    fraction: Annotated[float, Interval("(0, 1]")]
    min_rows: Annotated[int, Interval("[1, inf)")]


def reduce(prepared: Path, reduced: Path, params: ReduceParams) -> dict[str, int]:
    """Keeps `fraction` of each category, rounded up, and at least `min_rows` of it; returns rows read and kept.

    Rows are taken in the order of their hash, so that a smaller part lies within a larger one.
    """
    # Whole numbers, because engines differ in how they round 0.1 times a count.
    parts = round(params.fraction * MILLION)
    with whole(reduced) as unfinished, connected(unfinished) as (engine, _scratch):
        train = engine.read_parquet(prepared / "train.parquet")
        hashed = train.mutate(hash=_.cleaned.hexdigest("md5"))
        ranked = hashed.mutate(
            place=ibis.row_number().over(group_by="category", order_by=["hash", "cleaned"]),
            size=_.count().over(group_by="category"),
        )
        share = (_.size * parts + MILLION - 1) // MILLION
        kept = ranked.filter(_.place < ibis.greatest(share, params.min_rows))
        rows = write_ordered(engine, kept, train.columns, unfinished / "train.parquet", by=["hash", *train.columns])
        counts = {"read": int(train.count().execute()), "train": rows}
    log.info("%s of %s rows kept", f"{counts['train']:,}", f"{counts['read']:,}")
    return counts
