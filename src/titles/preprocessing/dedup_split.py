"""What becomes of a row, as expressions of Ibis: usable or not, of all rows that say the same the one that is kept."""

from dataclasses import dataclass, field
from typing import Annotated

import ibis
import ibis.expr.types as ir
from ibis import _

from titles.core.constraints import Interval
from titles.io.columns import ColumnNames
from titles.text.normalization import clean_expression

NOT_LATIN = "no Latin letter or digit in the title"


@dataclass(frozen=True)
class PrepareParams:
    validation_fraction: Annotated[float, Interval("(0, 0.5)")]
    test_fraction: Annotated[float, Interval("(0, 0.5)")]
    columns: ColumnNames = field(default_factory=ColumnNames)


def validate_rows(raw_table: ir.Table) -> ir.Table:
    """Adds `cleaned`, fills what may be absent, and says in `reason` why a row cannot be used by itself."""
    named = raw_table.mutate(
        cleaned=clean_expression(_.unescaped.fill_null(_.title).fill_null("")),
        id=_.id.strip().nullif(""),
        language=_.language.fill_null("unknown"),
        label_quality=_.label_quality.fill_null("unknown"),
    )
    return named.mutate(
        hash=_.cleaned.hexdigest("md5"),
        reason=ibis.cases(
            (_.fault.notnull(), _.fault),
            (_.cleaned == "", (_.title.fill_null("").strip() == "").ifelse("empty title", NOT_LATIN)),
            (_.category.isnull() & (_.split != "unlabelled"), "empty category"),
        ),
    )


def hash_partition(num_partitions: int) -> ir.StringColumn:
    """Where a row is judged: all rows of a cleaned title in one of that many parts, in the order of its hash.

    Nothing is to be judged of rows that cannot be used, nor of unlabelled titles, which stand apart: nothing is
    measured on them, so train may know them.
    """
    return ibis.cases(
        (_.split == "unlabelled", "unlabelled"),
        (_.reason.notnull() & (_.split != "test"), "unusable"),
        *((_.hash < _hash_threshold((part + 1) / num_partitions), str(part)) for part in range(num_partitions - 1)),
        else_=str(num_partitions - 1),
    )


def deduplicate_and_split(rows: ir.Table, provided_splits: set[str], params: PrepareParams) -> ir.Table:
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
    ranked = ibis.union(alone, _rank_duplicates(eligible.filter(_.rows > 1)).select(alone.columns))
    settled = ranked.mutate(
        split=_hash_split(provided_splits, params),
        reason=ibis.cases(
            (_.precedence == 0, ibis.null("string")),
            (_.first_precedence == 0, "its title is in a test file"),
            (_.first_precedence < _.precedence, "its title is in a validation file"),
            ((_.place > 0) & (_.category == _.first_category), "duplicate title"),
            (_.place > 0, "duplicate title, under another category"),
        ),
    )
    return settled.order_by("hash", "place")


def _rank_duplicates(rows: ir.Table) -> ir.Table:
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


def _hash_split(provided_splits: set[str], params: PrepareParams) -> ir.StringColumn:
    """Splits that no file gives are cut from train by the hash of the cleaned title.

    So they are the same on every machine and in every order of rows, and stay so when rows are added.
    """
    test_below = _hash_threshold(params.test_fraction)
    validation_below = _hash_threshold(params.test_fraction + params.validation_fraction)
    cuts = []
    if "test" not in provided_splits:
        cuts.append(((_.split == "train") & (_.hash < test_below), "test"))
    if "validation" not in provided_splits:
        cuts.append(((_.split == "train") & (_.hash >= test_below) & (_.hash < validation_below), "validation"))
    return ibis.cases(*cuts, else_=_.split) if cuts else _.split


def _hash_threshold(fraction: float) -> str:
    """The hexadecimal prefix below which that fraction of all hashes lies."""
    return f"{round(fraction * 16**8):08x}"
