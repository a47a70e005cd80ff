"""The shop's categories: the hand-written words of their titles, how frequent they are, what they are taken for."""

import random
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from itertools import islice, product
from typing import Any

import yaml

from titles.core.errors import InputError

WordsByLanguage = dict[str, list[str]]  # by language, "es" and "pt"

# Rows a category at the minimum, the quartiles and the maximum of the challenge's 1,588 categories.
ROWS_QUANTILES = (109, 5_043, 12_400, 19_105, 35_973)
# Shops have categories of a handful of titles, too, which the challenge left out: this share of the categories, from 1
# to 10 titles each where a catalogue has 120,000 titles of 176 categories.
TAIL_SHARE, TAIL_ROWS = 1 / 8, (20, 200)


@dataclass(frozen=True)
class Category:
    """What titles of a category are made of; `like` names the categories a careless seller takes it for."""

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
    """The words that all categories share."""
    content: dict[str, Any] = yaml.safe_load((files("titles.demo") / "shop.yaml").read_text(encoding="utf-8"))
    return content


@cache
def handwritten_categories() -> list[Category]:
    """The categories written by hand."""
    departments = sorted((files("titles.demo") / "catalogue").iterdir(), key=lambda department: department.name)
    entries = [yaml.safe_load(department.read_text(encoding="utf-8")).items() for department in departments]
    return [
        Category(name, **entry | {"fits": shop()["fits"].get(entry.get("fits"), [])})
        for department in entries
        for name, entry in department
    ]


def apply_variant(variant: dict[str, Any], category: Category) -> Category:
    """The category as another shop of the same trade would have it: blenders become spare parts of blenders."""
    return replace(
        category,
        name=variant["name"].format(category.name),
        like=[category.name],
        before=variant.get("before", category.before),
        after=variant.get("after", category.after),
    )


def categories(num_categories: int) -> list[Category]:
    """That many categories: those written by hand, then these crossed with the variants of the shop."""
    variants = (
        apply_variant(variant, category) for variant, category in product(shop()["variants"], handwritten_categories())
    )
    chosen = [*handwritten_categories(), *islice(variants, max(0, num_categories - len(handwritten_categories())))][
        :num_categories
    ]
    if not 2 <= num_categories == len(chosen):
        most = len(handwritten_categories()) * (1 + len(shop()["variants"]))
        raise InputError(f"{num_categories} categories: the shop has from 2 to {most}")
    names = {category.name for category in chosen}
    return [replace(category, like=[name for name in category.like if name in names]) for category in chosen]


def weights(num_categories: int) -> list[float]:
    """How frequent each of that many categories is, in an order without meaning.

    As uneven as in the challenge, but for the tail, whose numbers of rows fall geometrically.
    """
    tail = int(num_categories * TAIL_SHARE)
    head = num_categories - tail
    places = [place * 4 / (head - 1) for place in range(head)]
    quantiles = [*ROWS_QUANTILES, 0]
    lows = [(int(place), place % 1) for place in places]
    rows = [quantiles[low] * (1 - share) + quantiles[low + 1] * share for low, share in lows]
    fewest, most = TAIL_ROWS
    rows += [fewest * (most / fewest) ** (place / max(1, tail - 1)) for place in range(tail)]
    random.Random("weights").shuffle(rows)
    return rows
