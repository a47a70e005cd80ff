"""Validation, deduplication and train/validation/test split of rows, as Ibis expressions."""

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
    """Section `prepare` of params.yaml; docs/parameters.md explains the keys."""

    validation_fraction: Annotated[float, Interval("(0, 0.5)")]
    test_fraction: Annotated[float, Interval("(0, 0.5)")]
    columns: ColumnNames = field(default_factory=ColumnNames)


def validate_rows(raw_table: ir.Table) -> ir.Table:
    """Add `cleaned`, `hash` and `reason`, fill optional columns.

    `reason` is why a row cannot be used regardless of all others, or null.
    """
    filled = raw_table.mutate(
        cleaned=clean_expression(_.unescaped.fill_null(_.title).fill_null("")),
        id=_.id.strip().nullif(""),
        language=_.language.fill_null("unknown"),
        label_quality=_.label_quality.fill_null("unknown"),
    )
    return filled.mutate(
        hash=_.cleaned.hexdigest("md5"),
        reason=ibis.cases(
            (_.fault.notnull(), _.fault),
            (_.cleaned == "", (_.title.fill_null("").strip() == "").ifelse("empty title", NOT_LATIN)),
            (_.category.isnull() & (_.split != "unlabelled"), "empty category"),
        ),
    )


def hash_partition(num_partitions: int) -> ir.StringColumn:
    """The partition of a row: `0` to `num_partitions - 1` by ranges of the hash, `unlabelled` or `unusable`.

    All rows of a cleaned title are in one partition, so that partitions can be deduplicated separately. Unlabelled
    titles need no deduplication: nothing is measured on them, so train may contain them.
    """
    return ibis.cases(
        (_.split == "unlabelled", "unlabelled"),
        (_.reason.notnull() & (_.split != "test"), "unusable"),
        *((_.hash < _hash_threshold((index + 1) / num_partitions), str(index)) for index in range(num_partitions - 1)),
        else_=str(num_partitions - 1),
    )


def deduplicate_and_split(rows: ir.Table, provided_splits: set[str], params: PrepareParams) -> ir.Table:
    """Set the final `split` of every row, or the `reason` why it is rejected; sort by hash.

    Among rows with the same cleaned title, those of a test file are kept, then those of a validation file. Among the
    rest one row is kept: of the category that has a reliable row, then of the most frequent one, then of the first in
    alphabetical order.
    """
    eligible = rows.mutate(
        precedence=ibis.cases((_.split == "test", 0), (_.split == "validation", 1), else_=2),
        rows=_.count().over(group_by="hash"),
    )
    # Most titles occur once, and window functions are expensive.
    unique = eligible.filter(_.rows == 1).mutate(
        rank=ibis.literal(0, "int64"), first_precedence=_.precedence, first_category=_.category
    )
    ranked = ibis.union(unique, _rank_duplicates(eligible.filter(_.rows > 1)).select(unique.columns))
    resolved = ranked.mutate(
        split=_hash_split(provided_splits, params),
        reason=ibis.cases(
            (_.precedence == 0, ibis.null("string")),
            (_.first_precedence == 0, "its title is in a test file"),
            (_.first_precedence < _.precedence, "its title is in a validation file"),
            ((_.rank > 0) & (_.category == _.first_category), "duplicate title"),
            (_.rank > 0, "duplicate title, under another category"),
        ),
    )
    return resolved.order_by("hash", "rank")


def _rank_duplicates(rows: ir.Table) -> ir.Table:
    """Add the `rank` of a row among those with its cleaned title, and precedence and category of the first of them."""
    same_label = ibis.window(group_by=["hash", "split", "category"])
    counted = rows.mutate(
        has_reliable=(_.label_quality == "reliable").cast("int8").max().over(same_label),
        frequency=_.count().over(same_label),
    )
    order = [_.precedence, _.has_reliable.desc(), _.frequency.desc(), _.category, _.label_quality != "reliable"]
    same_title = ibis.window(group_by="hash", order_by=[*order, _.label_quality, _.language, _.title, _.file, _.line])
    return counted.mutate(
        rank=ibis.row_number().over(same_title),
        first_precedence=_.precedence.first().over(same_title),
        first_category=_.category.first().over(same_title),
    )


def _hash_split(provided_splits: set[str], params: PrepareParams) -> ir.StringColumn:
    """Assign train rows to the splits that have no file of their own, by the hash of the cleaned title.

    The split is the same on every machine and for every order of rows, and stays so when rows are added.
    """
    test_below = _hash_threshold(params.test_fraction)
    validation_below = _hash_threshold(params.test_fraction + params.validation_fraction)
    cases = []
    if "test" not in provided_splits:
        cases.append(((_.split == "train") & (_.hash < test_below), "test"))
    if "validation" not in provided_splits:
        cases.append(((_.split == "train") & (_.hash >= test_below) & (_.hash < validation_below), "validation"))
    return ibis.cases(*cases, else_=_.split) if cases else _.split


def _hash_threshold(fraction: float) -> str:
    """The hexadecimal prefix below which this fraction of all hashes lies."""
    return f"{round(fraction * 16**8):08x}"
