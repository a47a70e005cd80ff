"""Peers and networks on data sets of many shapes: `python -m benchmarks.shapes [SHAPE ...]`.

Each shape is a data folder, which prepare and reduce process. Shapes of real titles need the folder `TITLES_REAL_DATA`
and are skipped without it. Peers are tuned on validation only (`benchmarks.peers.tune_all`; with more than 30,000
training titles fewer settings are varied), then fitted again and evaluated. The networks have the settings of
params.yaml and choose their epoch on validation. All results are on test.

`benchmarks.intervals` explains the 95 % interval and the standard error. With several seeds all values are means; the
interval covers only the sampling of the test titles. Each shape writes a row per model to `--out` and replaces earlier
rows of the same shape and model. Other rows stay: `--only networks` compares with the peers of an earlier run.
"""

import argparse
import os
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.contenders import MODELS, NETWORKS
from benchmarks.holdout import read_rows, sample_test_rows, write
from benchmarks.intervals import compare_with_best_peer
from benchmarks.peers import evaluate_on_test, tune_and_test
from benchmarks.report import log_progress, markdown
from benchmarks.trials import commit, environment, fit_all, prepare, read, training_splits
from titles.demo.catalogue import handwritten_categories

SEED, TEST_SHARE = 2019, 0.25
DEMO, REAL, SUPERMARKET = "data/demo", "famaf-es", "supermarket-pt"

Row = dict[str, str | None]
Split = tuple[list[Row], list[Row]]


def sample(rows: list[Row], counts: dict[str, int]) -> Split:
    """Split the rows into a random sample of `counts` rows per category, or all if it has fewer, and the rest."""
    remaining, split = Counter(counts), ([], [])
    for row in random.Random(SEED).sample(rows, len(rows)):
        split[remaining[row["category"]] <= 0].append(row)
        remaining[row["category"]] -= 1
    return split


def hold_out(rows: list[Row]) -> Split:
    """Hold out a quarter of each category, as `benchmarks.holdout` does."""
    test = sample_test_rows(rows, TEST_SHARE, SEED)
    return [row for index, row in enumerate(rows) if index not in test], [rows[index] for index in sorted(test)]


def five_each(rows: list[Row]) -> Split:
    """Sample five training titles per category."""
    train, test = hold_out(rows)
    return sample(train, dict.fromkeys(category_names(train), 5))[0], test


def long_tail(rows: list[Row]) -> Split:
    """Sample 100 * .992^k training titles, at least one, of the k-th category in a random order; test is balanced."""
    train, test = hold_out(rows)
    names = category_names(train)
    random.Random(SEED).shuffle(names)
    return sample(train, {name: max(1, round(100 * 0.992**k)) for k, name in enumerate(names)})[0], test


def two_categories(rows: list[Row]) -> Split:
    """Take the two largest categories that label noise of the demo exchanges, and a quarter of the second."""
    sizes = Counter(row["category"] for row in rows)
    pairs = [(category.name, like) for category in handwritten_categories() for like in category.like]
    first, second = max(pairs, key=lambda pair: min(sizes[name] for name in pair))
    return hold_out(sample(rows, {first: sizes[first], second: sizes[second] // 4})[0])


def one_dominant(rows: list[Row]) -> Split:
    """Train on 30 titles of each of 19 categories and 19 times as many of a merged rest; test on as many others."""
    small = random.Random(SEED).sample(category_names(rows, min_rows=60), 19)
    renamed = [row if row["category"] in small else row | {"category": "ALL_OTHERS"} for row in rows]
    counts = dict.fromkeys(small, 30) | {"ALL_OTHERS": 19 * 19 * 30}
    train, rest = sample(renamed, counts)
    return train, sample(rest, counts)[0]


def few_titles(rows: list[Row]) -> Split:
    """Train on 200 titles of ten categories; test on 4,000 others of these categories."""
    names = random.Random(SEED).sample(category_names(rows, min_rows=600), 10)
    selected = random.Random(SEED).sample([row for row in rows if row["category"] in names], 4200)
    return selected[:200], selected[200:]


def category_names(rows: list[Row], min_rows: int = 1) -> list[str]:
    """Return the categories with at least `min_rows` rows, sorted."""
    return sorted(name for name, n in Counter(row["category"] for row in rows).items() if name and n >= min_rows)


@dataclass(frozen=True)
class Shape:
    """A data folder; `draw` makes train and test from its titles, else prepare splits them."""

    description: str
    source: str
    draw: Callable[[list[Row]], Split] | None = None
    fraction: float = 1

    def folder(self) -> Path | None:
        """Return the folder of the source; None if it is in `TITLES_REAL_DATA` and that is not set."""
        root = "." if self.source == DEMO else os.environ.get("TITLES_REAL_DATA")
        return Path(root) / self.source if root else None

    def prepare(self, folder: Path, work: Path) -> None:
        """Write prepared and reduced titles to `work`."""
        if self.draw:
            raw = work / "raw"
            raw.mkdir()
            for name, rows in zip(("train", "test"), self.draw(read_rows(folder)), strict=True):
                write(raw / f"{name}.csv", rows)
        prepare(raw if self.draw else folder, work, self.fraction)


SHAPES = {
    "demo-tenth": Shape("a tenth of the demo's training titles", DEMO, fraction=0.1),
    "demo-all": Shape("all of the demo's training titles", DEMO),
    "real-all": Shape("real Spanish titles", REAL, hold_out),
    "real-tenth": Shape("a tenth of the real training titles", REAL, hold_out, fraction=0.1),
    "real-five": Shape("five real titles a category", REAL, five_each),
    "real-long-tail": Shape("1 to 100 real titles a category, tested on balanced titles", REAL, long_tail),
    "two-categories": Shape("two categories of the demo that are alike", DEMO, two_categories),
    "one-dominant": Shape("20 categories of the demo, one of which has 95 %", DEMO, one_dominant),
    "few-titles": Shape("200 titles of ten categories of the demo", DEMO, few_titles),
    "supermarket": Shape("Portuguese supermarket goods", SUPERMARKET, hold_out),
}
ORDER = {name: index for index, name in enumerate([*SHAPES, *MODELS])}


def measure(name: str, folder: Path, work: Path, options: argparse.Namespace) -> pd.DataFrame:
    """Measure the models on a shape; return a row per model."""
    shape = SHAPES[name]
    shape.prepare(folder, work)
    results = list(tune_and_test(work, training_splits(shape.fraction))) if options.only != "networks" else []
    results += fit_networks(work, options.seeds) if options.only != "peers" else []
    table = pd.DataFrame(results).groupby(["model", "settings"], sort=False).mean().round(6).reset_index()
    sizes = read(work, "train").category.value_counts()
    description = {"shape": name, "train_titles": sizes.sum(), "categories": len(sizes), "smallest": sizes.min()}
    description |= {"largest": sizes.max(), "test_titles": len(read(work, "test"))}
    return pd.DataFrame([description | row for row in table.to_dict("records")]).assign(commit=commit())


def fit_networks(work: Path, seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Fit the networks with each seed; evaluate them and their mean on test."""
    for seed in seeds:
        models = work / "networks" / str(seed)
        for name, cost in fit_all(work, models, NETWORKS, seed).items():
            yield evaluate_on_test(name, work, models, cost) | {"settings": f"seed {', '.join(map(str, seeds))}"}


def save(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Write the rows to the CSV file, replacing those of the same shape and model; return all rows."""
    if path.exists():
        table = pd.concat([pd.read_csv(path), table]).drop_duplicates(["shape", "model"], keep="last")
    table = table.sort_values(["shape", "model"], key=lambda names: names.map(ORDER), ignore_index=True)
    table.to_csv(path, index=False)
    return table


def format_shape(table: pd.DataFrame) -> str:
    """Format the rows of one shape: a heading, a Markdown table, and the comparison with the best peer."""
    first = table.iloc[0]
    title = f"### {first['shape']}: {SHAPES[first['shape']].description}"
    categories = f"{first.categories:,} categories of {first.smallest:,} to {first.largest:,}"
    titles = f"{first.train_titles:,} training titles, {categories}; {first.test_titles:,} test titles"
    columns = ["model", "settings", "balanced_accuracy", "low", "high", "standard_error", "accuracy", "fit_seconds"]
    text = markdown(table[[*columns, "commit"]], {"fit_seconds": ".1f"})
    return f"{title}\n{titles}\n\n{text}\n\n{compare_with_best_peer(table)}"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.shapes", description=__doc__)
    parser.add_argument("shapes", nargs="*", metavar="SHAPE", help=f"one or more of {', '.join(SHAPES)}; default: all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[SEED], help="seeds of the networks")
    parser.add_argument("--only", choices=["peers", "networks"], help="measure only these")
    parser.add_argument("--out", type=Path, default=Path("docs/data/shapes.csv"), help="CSV file for the table")
    options = parser.parse_args()
    if unknown := set(options.shapes) - set(SHAPES):
        parser.error(f"unknown shape {', '.join(sorted(unknown))}; allowed: {', '.join(SHAPES)}")
    print(environment(), flush=True)
    for name in options.shapes or SHAPES:
        if (folder := SHAPES[name].folder()) is None:
            print(f"\n{name}: skipped, as TITLES_REAL_DATA is not set", flush=True)
            continue
        log_progress(f"{name}: {SHAPES[name].description}")
        with tempfile.TemporaryDirectory() as work:
            rows = save(measure(name, folder, Path(work), options), options.out)
        print(f"\n{format_shape(rows[rows['shape'] == name])}", flush=True)


if __name__ == "__main__":
    main()
