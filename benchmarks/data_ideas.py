"""Changes to the titles that `benchmarks.ideas` tries."""

import re
from collections.abc import Callable

Row = dict[str, str | None]


def append_digit_shapes(rows: list[Row]) -> list[Row]:
    """Append each word of letters and digits again with every digit as 0: `i7` also as `i0`."""

    def with_shapes(title: str) -> str:
        mixed = [word for word in title.split() if re.search(r"\d", word) and re.search(r"[^\W\d]", word)]
        return " ".join([title, *(re.sub(r"\d", "0", word) for word in mixed)])

    return [row | {"title": with_shapes(row["title"] or "")} for row in rows]


def append_skip_bigrams(rows: list[Row]) -> list[Row]:
    """Append the words at even positions and those at odd ones, so that words two positions apart form bigrams."""

    def with_skips(words: list[str]) -> str:
        return " ".join([*words, *words[::2], *words[1::2]] if len(words) > 2 else words)

    return [row | {"title": with_skips((row["title"] or "").split())} for row in rows]


def add_category_names(rows: list[Row]) -> list[Row]:
    """Add the name of each category as a training title."""
    names = sorted({row["category"] or "" for row in rows})
    return [*rows, *(rows[0] | {"title": name.replace("_", " "), "category": name} for name in names)]


# Functions for the training titles and for the test titles.
DATA_IDEAS: dict[str, tuple[Callable[[list[Row]], list[Row]], ...]] = {
    "unchanged": (list, list),
    "digit shapes": (append_digit_shapes, append_digit_shapes),
    "skip-bigrams": (append_skip_bigrams, append_skip_bigrams),
    "category names as training titles": (add_category_names, list),
}
