"""data/prepared: every usable title once, cleaned, with one category, in one split; and every row that was not usable.

train, validation, test.parquet   title, cleaned, category, language, label_quality
unlabelled.parquet                id, title, cleaned, language; there only if a test file without categories was given
rejected.parquet                  file, line, reason, title, category
"""

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc
from ibis import BaseBackend, _

from titles.ahead import ahead
from titles.cleaning import cleaned
from titles.engine import PART_ROWS, connected, in_order, read_part, write_ordered, write_parts
from titles.errors import InputError
from titles.limits import Interval
from titles.outputs import whole
from titles.progress import Progress
from titles.raw import RawFile, find_files
from titles.raw_table import write_raw_table
from titles.row_groups import RowGroups
from titles.rows import BROKEN_UTF8

log = logging.getLogger(__name__)

LABELLED = ["title", "cleaned", "category", "language", "label_quality"]
UNLABELLED = ["id", "title", "cleaned", "language"]
REJECTED = ["file", "line", "reason", "title", "category"]
NOT_LATIN = "no Latin letter or digit in the title"


@dataclass(frozen=True)
class PrepareParams:
    validation_fraction: Annotated[float, Interval("(0, 0.5)")]
    test_fraction: Annotated[float, Interval("(0, 0.5)")]


def prepare(raw: Path, prepared: Path, params: PrepareParams) -> dict[str, int]:
    """Reads the folder `raw`, writes the folder `prepared`; counts the rows read, those of each split, those rejected.

    Raises InputError where a file cannot be used, a split gets no row, or train has fewer than two categories.
    """
    files = find_files(raw)
    with whole(prepared) as unfinished, connected(unfinished) as (engine, scratch):
        read = write_raw_table(files, scratch / "raw.parquet")
        rows = _examined(engine.read_parquet(scratch / "raw.parquet"))
        _check_test_files(raw, rows)
        log.info("cleaning %s titles", f"{read:,}")
        parts = 1 + read // PART_ROWS[engine.name]
        write_parts(engine, rows.mutate(part=_part(parts)), scratch / "parts")
        (scratch / "raw.parquet").unlink()
        counts = {"read": read} | _write(engine, scratch, files, params, parts, unfinished)
        _check_splits(raw, engine.read_parquet(unfinished / "train.parquet"), counts)
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
            (_.cleaned == "", (_.title.fill_null("").strip() == "").ifelse("empty title", NOT_LATIN)),
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


def _part(parts: int) -> ir.StringColumn:
    """Where a row is judged: all rows of a cleaned title in one of that many parts, in the order of its hash.

    Nothing is to be judged of rows that cannot be used, nor of unlabelled titles, which stand apart: nothing is
    measured on them, so train may know them.
    """
    return ibis.cases(
        (_.split == "unlabelled", "unlabelled"),
        (_.reason.notnull() & (_.split != "test"), "unusable"),
        *((_.hash < _hash_below((part + 1) / parts), str(part)) for part in range(parts - 1)),
        else_=str(parts - 1),
    )


def _judged(rows: ir.Table, files: list[RawFile], params: PrepareParams) -> ir.Table:
    """Every row with its final `split`, or with the `reason` why it is in none, in the order of their hash.

    Of the rows that share a cleaned title those of a test file win, then those of a validation file; among the
    rest the category that has a reliable row wins, then the most frequent, then the first by name.
    """
    eligible = rows.mutate(
        precedence=ibis.cases((_.split == "test", 0), (_.split == "validation", 1), else_=2),
        rows=_.count().over(group_by="hash"),
    )
    # Most titles are there once, and windows are dear.
    alone = eligible.filter(_.rows == 1).mutate(
        place=ibis.literal(0, "int64"), first_precedence=_.precedence, first_category=_.category
    )
    ranked = ibis.union(alone, _ranked(eligible.filter(_.rows > 1)).select(alone.columns))
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
    return judged.order_by("hash", "place").select("split", *dict.fromkeys(LABELLED + REJECTED))


def _ranked(rows: ir.Table) -> ir.Table:
    """Adds the `place` of a row among those that share its cleaned title, and what comes first of them."""
    same_label = ibis.window(group_by=["hash", "split", "category"])
    counted = rows.mutate(
        backed=(_.label_quality == "reliable").cast("int8").max().over(same_label),
        votes=_.count().over(same_label),
    )
    order = [_.precedence, _.backed.desc(), _.votes.desc(), _.category, _.label_quality != "reliable"]
    same_title = ibis.window(group_by="hash", order_by=[*order, _.label_quality, _.language, _.title, _.file, _.line])
    return counted.mutate(
        place=ibis.row_number().over(same_title),
        first_precedence=_.precedence.first().over(same_title),
        first_category=_.category.first().over(same_title),
    )


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


def _write(
    engine: BaseBackend, scratch: Path, files: list[RawFile], params: PrepareParams, parts: int, prepared: Path
) -> dict[str, int]:
    """Writes all tables from the parts in `scratch`; counts the rows of each."""
    folder = scratch / "parts"
    counts = _write_splits(_judged_parts(engine, scratch, files, params, parts), scratch, prepared)
    if (unlabelled := read_part(engine, folder, "unlabelled")) is not None:
        counts["unlabelled"] = write_ordered(
            engine, unlabelled, UNLABELLED, prepared / "unlabelled.parquet", by=["file", "line"]
        )
    rejected = engine.read_parquet(scratch / "rejected.parquet")
    if (unusable := read_part(engine, folder, "unusable")) is not None:
        rejected = ibis.union(rejected, unusable.select(REJECTED))
    for row in rejected.reason.value_counts(name="rows").order_by("reason").execute().itertuples():
        log.info("rejected %s: %s", f"{row.rows:,}", row.reason)
    counts["rejected"] = write_ordered(engine, rejected, REJECTED, prepared / "rejected.parquet", by=["file", "line"])
    return counts


def _judged_parts(
    engine: BaseBackend, scratch: Path, files: list[RawFile], params: PrepareParams, parts: int
) -> Iterator[pa.Table]:
    with Progress(parts, "parts", "judging titles") as bar:
        for part in range(parts):
            if (rows := read_part(engine, scratch / "parts", str(part))) is not None:
                yield from in_order(engine, _judged(rows, files, params), scratch)
            bar.update(1)


def _write_splits(parts: Iterator[pa.Table], scratch: Path, prepared: Path) -> dict[str, int]:
    """Writes the splits, and to `scratch` what was rejected; `parts` come in the order of the hash."""
    labelled = pa.schema([(column, pa.string()) for column in LABELLED])
    rejected = pa.schema([(column, pa.int64() if column == "line" else pa.string()) for column in REJECTED])
    with ExitStack() as stack:
        splits = {
            split: stack.enter_context(RowGroups(prepared / f"{split}.parquet", labelled))
            for split in ("train", "validation", "test")
        }
        faulty = stack.enter_context(RowGroups(scratch / "rejected.parquet", rejected))
        for rows in ahead(parts):
            usable = pc.is_null(rows["reason"])
            for split, groups in splits.items():
                groups.write(rows.filter(pc.and_(usable, pc.equal(rows["split"], split))))
            faulty.write(rows.filter(pc.invert(usable)))
    return {split: groups.num_rows for split, groups in splits.items()}


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
