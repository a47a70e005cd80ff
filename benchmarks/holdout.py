"""Hold out a share of each category as a test file: `python -m benchmarks.holdout SOURCE TARGET`.

SOURCE is a folder with a train file of any supported format; TARGET gets train.csv and test.csv. The held-out titles
are a random sample of each category. It depends on the seed and the order of the file: equal files give equal splits.
"""

import argparse
import csv
import random
from collections import defaultdict
from pathlib import Path

from titles.io.file_discovery import find_files
from titles.io.records import COLUMNS


def read_rows(source: Path, split: str = "train") -> list[dict[str, str | None]]:
    """Read the rows of the files of a split, without those that have a read error."""
    files = [file for file in find_files(source) if file.split == split]
    rows = (row for file in files for batch in file.batches() for row in batch.to_pylist())
    return [{column: row[column] for column in COLUMNS} for row in rows if row["fault"] is None]


def sample_test_rows(rows: list[dict[str, str | None]], share: float, seed: int) -> set[int]:
    """Return the indices of the rows to hold out: of n rows of a category, `share` times n, rounded down."""
    by_category = defaultdict(list)
    for index, row in enumerate(rows):
        by_category[row["category"]].append(index)
    rng = random.Random(seed)
    return {index for indices in by_category.values() for index in rng.sample(indices, int(share * len(indices)))}


def write(path: Path, rows: list[dict[str, str | None]]) -> None:
    """Write the columns of the challenge as CSV to a new file: an existing one may be a link to the cache of DVC."""
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
    test = sample_test_rows(rows, options.share, options.seed)
    options.target.mkdir(parents=True, exist_ok=True)
    write(options.target / "train.csv", [row for index, row in enumerate(rows) if index not in test])
    write(options.target / "test.csv", [row for index, row in enumerate(rows) if index in test])
    print(f"{len(rows) - len(test):,} rows to {options.target}/train.csv, {len(test):,} to {options.target}/test.csv")


if __name__ == "__main__":
    main()
