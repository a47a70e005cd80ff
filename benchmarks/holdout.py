"""Holds out a share of each category as a test file: `python -m benchmarks.holdout SOURCE TARGET`.

SOURCE is a folder with a train file of any known format, TARGET gets train.csv and test.csv. Which titles are held out
is drawn from the seed within each category, in the order of the file, so that the same file gives the same split.
"""

import argparse
import csv
import random
from collections import defaultdict
from pathlib import Path

from titles.io.file_discovery import find_files
from titles.io.records import COLUMNS


def read_rows(source: Path, split: str = "train") -> list[dict[str, str | None]]:
    """The rows of the split's files that could be read."""
    files = [file for file in find_files(source) if file.split == split]
    rows = (row for file in files for batch in file.batches() for row in batch.to_pylist())
    return [{column: row[column] for column in COLUMNS} for row in rows if row["fault"] is None]


def held_out(rows: list[dict[str, str | None]], share: float, seed: int) -> set[int]:
    """The numbers of the rows to hold out: of n rows of a category, `share` times n, rounded down."""
    by_category = defaultdict(list)
    for number, row in enumerate(rows):
        by_category[row["category"]].append(number)
    rng = random.Random(seed)
    return {number for numbers in by_category.values() for number in rng.sample(numbers, int(share * len(numbers)))}


def write(path: Path, rows: list[dict[str, str | None]]) -> None:
    """Writes the challenge's columns as CSV to a new file, as the old one may be linked to DVC's cache."""
    path.unlink(missing_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["title", "label_quality", "language", "category"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.holdout", description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--share", type=float, default=0.25)
    parser.add_argument("--seed", type=int, default=2019)
    options = parser.parse_args()
    rows = read_rows(options.source)
    test = held_out(rows, options.share, options.seed)
    options.target.mkdir(parents=True, exist_ok=True)
    write(options.target / "train.csv", [row for number, row in enumerate(rows) if number not in test])
    write(options.target / "test.csv", [row for number, row in enumerate(rows) if number in test])
    print(f"{len(rows) - len(test):,} rows to {options.target}/train.csv, {len(test):,} to {options.target}/test.csv")


if __name__ == "__main__":
    main()
