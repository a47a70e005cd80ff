"""What damaged titles and wrong labels cost: `python -m benchmarks.robustness FOLDER`, or `--mislabelled`.

The first fits the peers and our networks on FOLDER and tests them on damaged copies of its test titles. The second fits
them on an invented catalogue of which a growing share of the train and validation titles has a wrong category, and
tests them on titles whose categories are all right.
"""

import argparse
import random
import tempfile
import unicodedata
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from unittest import mock

import pandas as pd

from benchmarks.contenders import MODELS, NETWORKS, PEERS, load
from benchmarks.report import markdown, say
from benchmarks.trials import alone, examine, fit_all, machine, prepare, read, score

SEED = 2019
SELLING = ["oferta", "envío gratis", "nuevo", "12 cuotas"]
RATES = (0, 0.1, 0.2, 0.3)
# Of the wrong labels this share is of a category like the true one, as in the demo.
LIKE = 0.9


def intact(title: str, rng: random.Random) -> str:
    """To compare with."""
    return title


def in_capitals(title: str, rng: random.Random) -> str:
    """All letters."""
    return title.upper()


def without_accents(title: str, rng: random.Random) -> str:
    """The marks of the letters are gone."""
    return "".join(part for part in unicodedata.normalize("NFD", title) if not unicodedata.combining(part))


def letters_swapped(title: str, rng: random.Random) -> str:
    """Two adjacent letters of one word."""
    pairs = [
        place
        for place, (one, next_one) in enumerate(pairwise(title))
        if one.isalpha() and next_one.isalpha() and one.lower() != next_one.lower()
    ]
    if not pairs:
        return title
    place = rng.choice(pairs)
    return title[:place] + title[place + 1] + title[place] + title[place + 2 :]


def run_together(title: str, rng: random.Random) -> str:
    """Two neighbouring words lose what is between them."""
    words = title.split()
    if len(words) < 2:
        return title
    place = rng.randrange(1, len(words))
    return " ".join([*words[: place - 1], words[place - 1] + words[place], *words[place + 1 :]])


def in_random_order(title: str, rng: random.Random) -> str:
    """All words."""
    words = title.split()
    return " ".join(rng.sample(words, len(words)))


def advertised(title: str, rng: random.Random) -> str:
    """Selling words come first or last."""
    parts = [title, rng.choice(SELLING)]
    return " ".join(rng.sample(parts, 2))


def word_left_out(title: str, rng: random.Random) -> str:
    """One of several."""
    words = title.split()
    if len(words) > 1:
        words.pop(rng.randrange(len(words)))
    return " ".join(words)


DAMAGES: dict[str, Callable[[str, random.Random], str]] = {
    "intact": intact,
    "without accents": without_accents,
    "in capitals": in_capitals,
    "two letters swapped": letters_swapped,
    "two words run together": run_together,
    "words in random order": in_random_order,
    "selling words added": advertised,
    "one word left out": word_left_out,
}


def damaged(titles: list[str], damage: str) -> list[str]:
    """A copy of each title, the same for every model."""
    rng = random.Random(SEED)
    return [DAMAGES[damage](title, rng) for title in titles]


def by_damage(work: Path) -> pd.DataFrame:
    """The balanced accuracy of each model on the test titles, a row a damage."""
    models = work / "models"
    fit_all(work, models, [*PEERS, *NETWORKS], SEED)
    rows = read(work, "test")
    copies = {damage: damaged(rows.title.tolist(), damage) for damage in DAMAGES}
    table = pd.DataFrame({"test titles": list(DAMAGES)})
    for name in MODELS:
        say(f"testing {name}")
        predict = load(name, models)
        table[name] = [score(rows.category, predict(titles)) for titles in copies.values()]
    return table


def write_catalogue(folder: Path, rows: int, num_categories: int) -> None:
    """The demo's shop, all of whose sellers choose the right category."""
    from titles.demo import __main__ as demo

    with mock.patch.object(demo, "WRONG", 0), (folder / "train.csv").open("w", encoding="utf-8", newline="") as file:
        demo.write(file, rows, num_categories, SEED)


def mislabel(file: Path, rate: float, like: dict[str, list[str]]) -> None:
    """Gives that share of the titles of a Parquet file a wrong category; a higher rate adds to those of a lower one."""
    rng = random.Random(SEED)
    rows = pd.read_parquet(file)
    others = {name: [other for other in like if other != name] for name in like}
    drawn = [
        (rng.random(), rng.choice(like[name]) if like[name] and rng.random() < LIKE else rng.choice(others[name]))
        for name in rows.category
    ]
    rows["category"] = [
        wrong if chance < rate else name for name, (chance, wrong) in zip(rows.category, drawn, strict=True)
    ]
    rows.to_parquet(file)


def by_rate(work: Path, num_categories: int) -> pd.DataFrame:
    """The balanced accuracy of each model on true labels, a row a rate of wrong ones."""
    from titles.demo.catalogue import categories

    like = {category.name: category.like for category in categories(num_categories)}
    files = [work / "reduced" / "train.parquet", work / "prepared" / "validation.parquet"]
    true = {file: file.read_bytes() for file in files}
    table = []
    for rate in RATES:
        for file in files:
            file.write_bytes(true[file])
            mislabel(file, rate, like)
        say(f"{rate:.0%} mislabelled")
        models = work / "models" / str(rate)
        fit_all(work, models, [*PEERS, *NETWORKS], SEED)
        scores = {name: alone(examine, name, work, models, "test")["balanced_accuracy"] for name in MODELS}
        table.append({"mislabelled": f"{rate:.0%}"} | scores)
    return pd.DataFrame(table)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.robustness", description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("folder", type=Path, nargs="?")
    source.add_argument("--mislabelled", action="store_true", help="wrong labels instead of damaged titles")
    parser.add_argument("--fraction", type=float, default=1, help="the share of the training titles to learn from")
    parser.add_argument("--rows", type=int, default=120_000, help="of the invented catalogue")
    parser.add_argument("--categories", type=int, default=176, help="of the invented catalogue")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as raw, tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if options.mislabelled:
            write_catalogue(Path(raw), options.rows, options.categories)
        prepare(Path(raw) if options.mislabelled else options.folder, work, options.fraction)
        print(machine(work), flush=True)
        print(markdown(by_rate(work, options.categories) if options.mislabelled else by_damage(work), {}))


if __name__ == "__main__":
    main()
