"""What damaged titles and wrong labels cost: `python -m benchmarks.robustness FOLDER`, or `--mislabelled`.

The first fits the peers and the networks on FOLDER and tests them on damaged copies of its test titles.

`--mislabelled` gives a growing share of the train and validation titles a wrong category, if nobody reviewed their
label (label_quality is not "reliable"), and tests on titles whose categories are all right. The titles are those of an
invented catalogue, or with `--real FOLDER` those of a data folder: there the category that is like another is the one
of the most similar words, and of the reviewed labels as many count as reviewed as in the challenge. Peers have their
default settings and are fitted once, networks once a seed: the mean, and the lowest and highest balanced accuracy.
"""

import argparse
import random
import shutil
import tempfile
import unicodedata
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd

from benchmarks.contenders import NETWORKS, WORD, load
from benchmarks.peers import compare, installed_peers
from benchmarks.report import markdown, say
from benchmarks.trials import fit_all, machine, prepare, read, score, splits_seen
from titles.demo.catalogue import categories

SEED = 2019
SELLING = ["oferta", "envío gratis", "nuevo", "12 cuotas"]
# The challenge's share of reviewed labels.
REVIEWED = 0.06
# Of the wrong labels this share is of a category like the true one, as in the demo.
LIKE = 0.9


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
    "intact": lambda title, _: title,
    "without accents": without_accents,
    "in capitals": lambda title, _: title.upper(),
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
    names = fit_all(work, models, [*installed_peers(), *NETWORKS], SEED)
    rows = read(work, "test")
    copies = {damage: damaged(rows.title.tolist(), damage) for damage in DAMAGES}
    table = pd.DataFrame({"test titles": list(DAMAGES)})
    for name in names:
        say(f"testing {name}")
        predict = load(name, models)
        table[name] = [score(rows.category, predict(titles)) for titles in copies.values()]
    return table


def write_catalogue(folder: Path, rows: int, num_categories: int) -> None:
    """The demo's shop, all of whose sellers choose the right category."""
    from titles.demo import __main__ as demo

    with (
        mock.patch.object(demo, "LABEL_NOISE", 0),
        (folder / "train.csv").open("w", encoding="utf-8", newline="") as file,
    ):
        demo.write_csv(file, rows, num_categories, SEED)


def like_in_words(rows: pd.DataFrame) -> dict[str, list[str]]:
    """For each category the one with the most similar sum of TF-IDF vectors of its titles' words, by the cosine."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.metrics.pairwise import cosine_similarity
    from sklearn.preprocessing import OneHotEncoder

    encoder = OneHotEncoder().fit(rows[["category"]])
    vectors = TfidfVectorizer(token_pattern=WORD).fit_transform(rows.cleaned)
    similarity = cosine_similarity(encoder.transform(rows[["category"]]).T @ vectors)
    np.fill_diagonal(similarity, -1)
    names = encoder.categories_[0].tolist()
    return {name: [names[other]] for name, other in zip(names, similarity.argmax(1), strict=True)}


def reviewed_in_part(rows: pd.DataFrame) -> pd.DataFrame:
    """Leave `REVIEWED` of the reliable rows reliable, at random."""
    doubted = (np.random.default_rng(SEED).random(len(rows)) >= REVIEWED) & (rows.label_quality == "reliable")
    return rows.assign(label_quality=rows.label_quality.mask(doubted, "unreliable"))


def mislabelled(rows: pd.DataFrame, rate: float, like: dict[str, list[str]]) -> pd.DataFrame:
    """Give that share of the unreviewed rows a wrong category; a higher rate adds to those of a lower one."""
    rng, names = random.Random(SEED), []
    others = {name: [other for other in like if other != name] for name in rows.category.unique()}
    for name, quality in zip(rows.category, rows.label_quality, strict=True):
        chance, is_like = rng.random(), rng.random() < LIKE
        wrong = rng.choice((is_like and like.get(name)) or others[name])
        names.append(wrong if chance < rate and quality != "reliable" else name)
    return rows.assign(category=names)


def by_rate(work: Path, like: dict[str, list[str]], options: argparse.Namespace) -> pd.DataFrame:
    """The balanced accuracy of each model on true labels, a row a rate of wrong ones."""
    files = [work / "reduced" / "train.parquet", work / "prepared" / "validation.parquet"]
    true, table = {file: pd.read_parquet(file) for file in files}, []
    for rate in options.rates:
        for file, rows in true.items():
            changed = mislabelled(reviewed_in_part(rows) if options.real else rows, rate, like)
            say(f"{file.stem}: {(changed.category != rows.category).mean():.1%} of the labels are wrong")
            (changed.assign(label_quality="unknown") if options.without_quality else changed).to_parquet(file)
        found = compare(work, options.seeds, splits_seen(options.fraction)).set_index("model")
        shutil.rmtree(work / "models")
        one, several = "{0.balanced_accuracy:.4f}", "{0.balanced_accuracy:.4f} ({0.lowest:.4f} to {0.highest:.4f})"
        cells = {name: (one if row.fits == 1 else several).format(row) for name, row in found.iterrows()}
        table.append({"mislabelled": f"{rate:.0%}"} | cells)
    return pd.DataFrame(table)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.robustness", description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("folder", type=Path, nargs="?")
    source.add_argument("--mislabelled", action="store_true", help="wrong labels instead of damaged titles")
    parser.add_argument("--fraction", type=float, default=1, help="the share of the training titles to learn from")
    parser.add_argument("--rates", type=float, nargs="+", default=[0, 0.2, 0.3], help="of wrong unreviewed labels")
    parser.add_argument("--seeds", type=int, nargs="+", default=[2019, 2020, 2021], help="of our networks")
    parser.add_argument("--without-quality", action="store_true", help="hide which labels were reviewed")
    parser.add_argument("--real", type=Path, help="mislabel this data folder instead of an invented catalogue")
    parser.add_argument("--rows", type=int, default=120_000, help="of the invented catalogue")
    parser.add_argument("--categories", type=int, default=176, help="of the invented catalogue")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as raw, tempfile.TemporaryDirectory() as folder:
        work, given = Path(folder), options.folder or options.real
        if not given:
            write_catalogue(Path(raw), options.rows, options.categories)
        prepare(given or Path(raw), work, options.fraction)
        print(machine(work), flush=True)
        shop = {category.name: category.like for category in categories(options.categories)}
        like = like_in_words(read(work, "train")) if options.real else shop
        print(markdown(by_rate(work, like, options) if options.mislabelled else by_damage(work), {}))


if __name__ == "__main__":
    main()
