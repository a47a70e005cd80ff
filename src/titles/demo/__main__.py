"""Write a catalogue: `python -m titles.demo --rows 120000 --categories 176 --seed 2019 data/demo/train.csv.gz`."""

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

# The share of reviewed labels in the challenge.
RELIABLE_SHARE = {"spanish": 0.0491, "portuguese": 0.0693}
# The share of wrong labels among the unreviewed ones, and the share of these that are of a similar category.
LABEL_NOISE, SIMILAR_CATEGORY_SHARE = 0.03, 0.9


def generate(num_rows: int, num_categories: int, seed: int) -> Iterator[tuple[str, str, str, str]]:
    """Yield rows (title, label quality, language, category). The languages alternate, so each has half of the rows."""
    rng = random.Random(seed)
    seller = Seller(rng)
    shop_categories = categories(num_categories)
    cumulative_weights = list(accumulate(weights(num_categories)))
    frequencies = dict(zip((category.name for category in shop_categories), weights(num_categories), strict=True))
    for row in range(num_rows):
        language = ("spanish", "portuguese")[row % 2]
        (category,) = rng.choices(shop_categories, cum_weights=cumulative_weights)
        title = seller.title(category, LANGUAGES[language])
        if rng.random() < RELIABLE_SHARE[language]:
            yield title, "reliable", language, category.name
        else:
            yield title, "unreliable", language, _noisy_label(rng, category, frequencies)


def _noisy_label(rng: random.Random, category: Category, frequencies: dict[str, float]) -> str:
    """Return the name of the category, or with probability `LABEL_NOISE` a wrong one, sampled by frequency."""
    if rng.random() >= LABEL_NOISE:
        return category.name
    is_similar = category.like and rng.random() < SIMILAR_CATEGORY_SHARE
    names = category.like if is_similar else list(frequencies)
    return rng.choices(names, [frequencies[name] for name in names])[0]


def write_csv(file: IO[str], num_rows: int, num_categories: int, seed: int) -> None:
    """Write the rows as CSV in the format of the challenge."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(HEADER)
    with Progress(num_rows, "titles", "writing the catalogue") as bar:
        for row in generate(num_rows, num_categories, seed):
            writer.writerow(row)
            bar.update(1)


def main() -> None:
    """Run the command line."""
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
        # A gzip header without name and time makes the bytes independent of when and where the file is written.
        stream = gzip.GzipFile("", "wb", 9, raw, mtime=0) if options.path.suffix == ".gz" else raw
        with io.TextIOWrapper(stream, encoding="utf-8", newline="") as text:
            write_csv(text, options.rows, options.categories, options.seed)


if __name__ == "__main__":
    main()
