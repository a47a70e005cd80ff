"""Writes a catalogue: `python -m titles.demo --rows 120000 --categories 176 --seed 2019 data/demo/train.csv.gz`."""

import argparse
import csv
import gzip
import io
import random
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import IO

from titles.core.errors import InputError
from titles.core.progress import Progress
from titles.demo.catalogue import Category, categories, weights
from titles.demo.seller import Seller

HEADER = ("title", "label_quality", "language", "category")
LANGUAGES = {"spanish": "es", "portuguese": "pt"}

# The challenge's share of reviewed labels.
RELIABLE_SHARE = {"spanish": 0.0491, "portuguese": 0.0693}
# Of the labels nobody reviewed this share is wrong; of the wrong ones this share is of a category like the true one.
LABEL_NOISE, SIMILAR_CATEGORY_SHARE = 0.03, 0.9


def generate(num_rows: int, num_categories: int, seed: int) -> Iterator[tuple[str, str, str, str]]:
    """That many rows (title, label quality, language, category); the languages take turns, so each has half."""
    rng = random.Random(seed)
    seller = Seller(rng)
    shelf = categories(num_categories)
    shares = list(accumulate(weights(num_categories)))
    frequencies = dict(zip((category.name for category in shelf), weights(num_categories), strict=True))
    for row in range(num_rows):
        language = ("spanish", "portuguese")[row % 2]
        (category,) = rng.choices(shelf, cum_weights=shares)
        title = seller.title(category, LANGUAGES[language])
        if rng.random() < RELIABLE_SHARE[language]:
            yield title, "reliable", language, category.name
        else:
            yield title, "unreliable", language, _noisy_label(rng, category, frequencies)


def _noisy_label(rng: random.Random, category: Category, frequencies: dict[str, float]) -> str:
    """The category, or the one it is taken for, the sooner the more frequent that is."""
    if rng.random() >= LABEL_NOISE:
        return category.name
    is_like = category.like and rng.random() < SIMILAR_CATEGORY_SHARE
    names = category.like if is_like else list(frequencies)
    return rng.choices(names, [frequencies[name] for name in names])[0]


def write_csv(file: IO[str], num_rows: int, num_categories: int, seed: int) -> None:
    """Writes the rows as CSV in the challenge's format."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(HEADER)
    with Progress(num_rows, "titles", "writing the catalogue") as bar:
        for row in generate(num_rows, num_categories, seed):
            writer.writerow(row)
            bar.update(1)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="titles.demo", description=__doc__)
    parser.add_argument("path", type=Path, help="the file to write: train.csv or train.csv.gz")
    parser.add_argument("--rows", type=int, default=120_000)
    parser.add_argument("--categories", type=int, default=176)
    parser.add_argument("--seed", type=int, default=2019)
    options = parser.parse_args()
    try:
        categories(options.categories)
    except InputError as error:
        parser.error(str(error))
    options.path.parent.mkdir(parents=True, exist_ok=True)
    # The old file may be linked to DVC's cache.
    options.path.unlink(missing_ok=True)
    with options.path.open("wb") as raw:
        # Without name and time in its header the compressed file is the same whenever and wherever it is written.
        stream = gzip.GzipFile("", "wb", 9, raw, mtime=0) if options.path.suffix == ".gz" else raw
        with io.TextIOWrapper(stream, encoding="utf-8", newline="") as text:
            write_csv(text, options.rows, options.categories, options.seed)


if __name__ == "__main__":
    main()
