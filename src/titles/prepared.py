"""data/prepared: every usable title once, cleaned, with one category, in one split; and every row that was not usable.

train, validation, test.parquet   title, cleaned, category, language, label_quality
unlabelled.parquet                id, title, cleaned, language; there only if a test file without categories was given
rejected.parquet                  file, line, reason, title, category
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import ibis
import ibis.expr.types as ir
from ibis import BaseBackend, _

from titles.cleaning import cleaned
from titles.engine import connected, write_ordered
from titles.errors import InputError
from titles.limits import Interval
from titles.outputs import fresh
from titles.raw import RawFile, find_files
from titles.raw_table import BROKEN_UTF8, write_raw_table

log = logging.getLogger(__name__)

LABELLED = ["title", "cleaned", "category", "language", "label_quality"]
UNLABELLED = ["id", "title", "cleaned", "language"]
REJECTED = ["file", "line", "reason", "title", "category"]


@dataclass(frozen=True)
class PrepareParams:
    validation_fraction: Annotated[float, Interval("(0, 0.5)")]
    test_fraction: Annotated[float, Interval("(0, 0.5)")]


def prepare(raw: Path, prepared: Path, params: PrepareParams) -> dict[str, int]:
    """Reads the folder `raw`, writes the folder `prepared`; counts the rows read, those of each split, those rejected.

    Raises InputError where a file cannot be used, a split gets no row, or train has fewer than two categories.
    """
    files = find_files(raw)
    with connected(fresh(prepared)) as (engine, scratch):
        read = write_raw_table(files, scratch / "raw.parquet")
        rows = _examined(engine.read_parquet(scratch / "raw.parquet"))
        _check_test_files(raw, rows)
        engine.to_parquet(_judged(rows, files, params), scratch / "judged.parquet")
        judged = engine.read_parquet(scratch / "judged.parquet")
        counts = {"read": read} | _write(engine, judged, files, prepared)
        _check_splits(raw, judged, counts)
    log.info(", ".join(f"{count:,} {name}" for name, count in counts.items()))
    return counts


def _examined(raw_table: ir.Table) -> ir.Table:
    """Adds `cleaned`, fills what may be absent, and says in `reason` why a row cannot be used by itself."""
    named = raw_table.mutate(
        cleaned=cleaned(_.title.fill_null("")),
        id=_.id.strip().nullif(""),
        category=_.category.strip().nullif(""),
        language=_.language.strip().nullif("").fill_null("unknown"),
        label_quality=_.label_quality.strip().nullif("").fill_null("unknown"),
    )
    return named.mutate(
        hash=_.cleaned.hexdigest("md5"),
        reason=ibis.cases(
            (_.fault.notnull(), _.fault),
            (_.title.fill_null("").strip() == "", "empty title"),
            (_.cleaned == "", "no Latin letter or digit in the title"),
            (_.category.isnull() & (_.split != "unlabelled"), "empty category"),
        ),
    )


def _check_test_files(raw: Path, rows: ir.Table) -> None:
    """A test file is used whole: a title that says nothing is predicted, a row without category or id stops the run."""
    unreadable = _.fault.fill_null(BROKEN_UTF8) != BROKEN_UTF8
    unlabelled = (_.split == "test") & _.category.isnull()
    unnamed = (_.split == "unlabelled") & _.id.isnull()
    broken = rows.filter(_.split.isin(["test", "unlabelled"]), unreadable | unlabelled | unnamed)
    for row in broken.order_by("file", "line").limit(1).execute().itertuples():
        fault = row.fault if isinstance(row.fault, str) else "no id" if row.split == "unlabelled" else "empty category"
        raise InputError(f"{raw / row.file}, line {row.line}: {fault}; a test file is used whole, so mend the row")


def _judged(rows: ir.Table, files: list[RawFile], params: PrepareParams) -> ir.Table:
    """Every row with its final `split`, or with the `reason` why it is in none.

    Of the rows that share a cleaned title those of a test file win, then those of a validation file; among the
    rest the category that has a reliable row wins, then the most frequent, then the first by name. Unlabelled
    titles stand apart: nothing is measured on them, so train may know them.
    """
    eligible = rows.filter(_.split != "unlabelled", _.reason.isnull() | (_.split == "test"))
    same_label = ibis.window(group_by=["cleaned", "split", "category"])
    counted = eligible.mutate(
        precedence=ibis.cases((_.split == "test", 0), (_.split == "validation", 1), else_=2),
        backed=(_.label_quality == "reliable").cast("int8").max().over(same_label),
        votes=_.count().over(same_label),
    )
    order = [_.precedence, _.backed.desc(), _.votes.desc(), _.category, _.label_quality != "reliable"]
    same_title = ibis.window(
        group_by="cleaned", order_by=[*order, _.label_quality, _.language, _.title, _.file, _.line]
    )
    ranked = counted.mutate(
        place=ibis.row_number().over(same_title),
        first_precedence=_.precedence.first().over(same_title),
        first_category=_.category.first().over(same_title),
    )
    judged = ranked.mutate(
        split=_derived_split(files, params),
        reason=ibis.cases(
            (_.precedence == 0, ibis.null("string")),
            (_.first_precedence == 0, "its title is in a test file"),
            (_.first_precedence < _.precedence, "its title is in a validation file"),
            ((_.place > 0) & (_.category == _.first_category), "duplicate title"),
            (_.place > 0, "duplicate title, under another category"),
        ),
    )
    columns = ["file", "line", "split", "hash", "reason", *dict.fromkeys(LABELLED + UNLABELLED)]
    unlabelled = rows.filter(_.split == "unlabelled").mutate(reason=ibis.null("string"))
    unusable = rows.filter(_.reason.notnull(), ~_.split.isin(["test", "unlabelled"]))
    return ibis.union(*(part.select(columns) for part in (judged, unlabelled, unusable)))


def _derived_split(files: list[RawFile], params: PrepareParams) -> ir.StringColumn:
    """Splits that no file gives are cut from train by the hash of the cleaned title.

    So they are the same on every machine and in every order of rows, and stay so when rows are added.
    """
    given = {file.split for file in files}
    test_below = _hash_below(params.test_fraction)
    validation_below = _hash_below(params.test_fraction + params.validation_fraction)
    cuts = []
    if "test" not in given:
        cuts.append(((_.split == "train") & (_.hash < test_below), "test"))
    if "validation" not in given:
        cuts.append(((_.split == "train") & (_.hash >= test_below) & (_.hash < validation_below), "validation"))
    return ibis.cases(*cuts, else_=_.split) if cuts else _.split


def _hash_below(fraction: float) -> str:
    """The hexadecimal prefix below which that fraction of all hashes lies."""
    return f"{round(fraction * 16**8):08x}"


def _write(engine: BaseBackend, judged: ir.Table, files: list[RawFile], prepared: Path) -> dict[str, int]:
    counts = {}
    for split in ("train", "validation", "test"):
        rows = judged.filter(_.reason.isnull(), _.split == split)
        counts[split] = write_ordered(engine, rows, LABELLED, prepared / f"{split}.parquet", by=["hash", *LABELLED])
    if any(file.split == "unlabelled" for file in files):
        rows = judged.filter(_.reason.isnull(), _.split == "unlabelled")
        counts["unlabelled"] = write_ordered(
            engine, rows, UNLABELLED, prepared / "unlabelled.parquet", by=["file", "line"]
        )
    rejected = judged.filter(_.reason.notnull())
    for row in rejected.reason.value_counts(name="rows").order_by("reason").execute().itertuples():
        log.info("rejected %s: %s", f"{row.rows:,}", row.reason)
    counts["rejected"] = write_ordered(engine, rejected, REJECTED, prepared / "rejected.parquet", by=["file", "line"])
    return counts


def _check_splits(raw: Path, judged: ir.Table, counts: dict[str, int]) -> None:
    for split in ("train", "validation", "test"):
        if not counts[split]:
            raise InputError(
                f"{raw}: {split} gets none of the {counts['read']:,} rows; give more rows or a {split} file"
            )
    categories = judged.filter(_.reason.isnull(), _.split == "train").category
    if categories.nunique().execute() < 2:
        raise InputError(f"{raw}: all of train is {categories.first().execute()}; a classifier needs two categories")
