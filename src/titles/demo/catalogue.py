"""The categories of the demo shop: the words of their titles, their frequencies, and similar categories."""

import random
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from itertools import islice, product
from typing import Any

import yaml

from titles.core.errors import InputError

WordsByLanguage = dict[str, list[str]]  # the keys are "es" and "pt"

# The minimum, quartiles and maximum of the number of rows per category in the challenge, which has 1,588 categories.
ROWS_QUANTILES = (109, 5_043, 12_400, 19_105, 35_973)
# Real shops also have categories with a handful of titles, which the challenge left out: their share, and the range of
# their weights. In a catalogue of 120,000 titles and 176 categories they have 1 to 10 titles each.
TAIL_SHARE, TAIL_ROWS = 1 / 8, (20, 200)


@dataclass(frozen=True)
class Category:
    """The words of a category's titles.

    like      the names of similar categories, which label noise confuses with it
    fits      the products that an accessory fits, such as car models
    before    words that may precede the noun
    after     words that may follow the noun
    """

    name: str
    nouns: WordsByLanguage
    brands: list[str]
    models: list[str]
    words: WordsByLanguage
    sizes: list[str]
    like: list[str]
    fits: list[str] = field(default_factory=list)
    before: WordsByLanguage = field(default_factory=lambda: {"es": [], "pt": []})
    after: WordsByLanguage = field(default_factory=lambda: {"es": [], "pt": []})


@cache
def shop() -> dict[str, Any]:
    """Load the words that all categories share, and the variants of categories."""
    content: dict[str, Any] = yaml.safe_load((files("titles.demo") / "shop.yaml").read_text(encoding="utf-8"))
    return content


@cache
def handwritten_categories() -> list[Category]:
    """Load the handwritten categories."""
    departments = sorted((files("titles.demo") / "catalogue").iterdir(), key=lambda department: department.name)
    entries = [yaml.safe_load(department.read_text(encoding="utf-8")).items() for department in departments]
    return [
        Category(name, **entry | {"fits": shop()["fits"].get(entry.get("fits"), [])})
        for department in entries
        for name, entry in department
    ]


def apply_variant(variant: dict[str, Any], category: Category) -> Category:
    """Derive a category from another: blenders become spare parts of blenders."""
    return replace(
        category,
        name=variant["name"].format(category.name),
        like=[category.name],
        before=variant.get("before", category.before),
        after=variant.get("after", category.after),
    )


def categories(num_categories: int) -> list[Category]:
    """Return the first `num_categories` categories: the handwritten ones, then these crossed with the variants.

    Raise InputError if there are fewer, or if fewer than 2 are requested.
    """
    variants = (
        apply_variant(variant, category) for variant, category in product(shop()["variants"], handwritten_categories())
    )
    chosen = [*handwritten_categories(), *islice(variants, max(0, num_categories - len(handwritten_categories())))][
        :num_categories
    ]
    if not 2 <= num_categories == len(chosen):
        most = len(handwritten_categories()) * (1 + len(shop()["variants"]))
        raise InputError(f"{num_categories} categories: the number must be from 2 to {most}")
    names = {category.name for category in chosen}
    return [replace(category, like=[name for name in category.like if name in names]) for category in chosen]


def weights(num_categories: int) -> list[float]:
    """Return the relative frequency of each category, shuffled.

    The head follows the quantiles of the challenge by linear interpolation. The tail is a geometric sequence.
    """
    tail = int(num_categories * TAIL_SHARE)
    head = num_categories - tail
    positions = [index * 4 / (head - 1) for index in range(head)]
    quantiles = [*ROWS_QUANTILES, 0]
    lows = [(int(position), position % 1) for position in positions]
    rows = [quantiles[low] * (1 - fraction) + quantiles[low + 1] * fraction for low, fraction in lows]
    fewest, most = TAIL_ROWS
    rows += [fewest * (most / fewest) ** (index / max(1, tail - 1)) for index in range(tail)]
    random.Random("weights").shuffle(rows)
    return rows
