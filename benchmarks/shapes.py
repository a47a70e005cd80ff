"""Peers and networks on data of many shapes: `python -m benchmarks.shapes [SHAPE ...]`.

Each shape is a data folder that goes through the pipeline's prepare and reduce. Shapes of real titles need the folder
`TITLES_REAL_DATA` and are skipped without it. Peers are tuned on validation titles alone (`benchmarks.peers.tuned`; on
more than 30,000 training titles fewer of their settings are varied), then fitted again and tested. The networks have
the settings of params.yaml and choose their epoch by validation. All results are those on test.

`benchmarks.intervals` explains the 95 % interval and the standard error. Of several seeds all numbers are means, so the
interval covers the draw of the test titles alone. `--out` gets a row a shape and model as soon as a shape is done, and
keeps its rows of other shapes and models: `--only networks` compares with the peers of an earlier run.
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
from benchmarks.holdout import held_out, read_rows, write
from benchmarks.intervals import beside_best_peer
from benchmarks.peers import tested, tuned_and_tested
from benchmarks.report import markdown, say
from benchmarks.trials import commit, environment, fit_all, prepare, read, splits_seen
from titles.demo.catalogue import handwritten_categories

SEED, HELD_OUT = 2019, 0.25
DEMO, REAL, SUPERMARKET = "data/demo", "famaf-es", "supermarket-pt"

Row = dict[str, str | None]
Split = tuple[list[Row], list[Row]]


def sample(rows: list[Row], counts: dict[str, int]) -> Split:
    """Split the rows into a random sample with that many rows of each category, or all it has, and the rest."""
    left, drawn = Counter(counts), ([], [])
    for row in random.Random(SEED).sample(rows, len(rows)):
        drawn[left[row["category"]] <= 0].append(row)
        left[row["category"]] -= 1
    return drawn


def hold_out(rows: list[Row]) -> Split:
    """Hold out a quarter of each category, as `benchmarks.holdout` does."""
    test = held_out(rows, HELD_OUT, SEED)
    return [row for number, row in enumerate(rows) if number not in test], [rows[number] for number in sorted(test)]


def five_each(rows: list[Row]) -> Split:
    """Keep five training titles a category."""
    train, test = hold_out(rows)
    return sample(train, dict.fromkeys(names_of(train), 5))[0], test


def long_tail(rows: list[Row]) -> Split:
    """Keep 100 * .992^k training titles, at least one, of category number k in a random order; test on the balanced."""
    train, test = hold_out(rows)
    names = names_of(train)
    random.Random(SEED).shuffle(names)
    return sample(train, {name: max(1, round(100 * 0.992**k)) for k, name in enumerate(names)})[0], test


def two_categories(rows: list[Row]) -> Split:
    """Take the two largest categories that the demo's sellers mix up, and of the second a quarter."""
    sizes = Counter(row["category"] for row in rows)
    pairs = [(category.name, like) for category in handwritten_categories() for like in category.like]
    first, second = max(pairs, key=lambda pair: min(sizes[name] for name in pair))
    return hold_out(sample(rows, {first: sizes[first], second: sizes[second] // 4})[0])


def one_dominant(rows: list[Row]) -> Split:
    """Take 30 titles of each of 19 categories, and 19 times as many of all others as one; test on as many others."""
    small = random.Random(SEED).sample(names_of(rows, fewest=60), 19)
    renamed = [row if row["category"] in small else row | {"category": "ALL_OTHERS"} for row in rows]
    counts = dict.fromkeys(small, 30) | {"ALL_OTHERS": 19 * 19 * 30}
    train, rest = sample(renamed, counts)
    return train, sample(rest, counts)[0]


def few_titles(rows: list[Row]) -> Split:
    """Take 200 titles of ten categories, and test on 4,000 others of these."""
    names = random.Random(SEED).sample(names_of(rows, fewest=600), 10)
    some = random.Random(SEED).sample([row for row in rows if row["category"] in names], 4200)
    return some[:200], some[200:]


def names_of(rows: list[Row], fewest: int = 1) -> list[str]:
    """Return the categories with that many rows or more, sorted."""
    return sorted(name for name, count in Counter(row["category"] for row in rows).items() if name and count >= fewest)


@dataclass(frozen=True)
class Shape:
    """A data folder, of which `draw` makes train and test; without it prepare splits the folder's own titles."""

    description: str
    source: str
    draw: Callable[[list[Row]], Split] | None = None
    fraction: float = 1

    def folder(self) -> Path | None:
        """Return the source's folder, None if it is below an unset `TITLES_REAL_DATA`."""
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
ORDER = {name: place for place, name in enumerate([*SHAPES, *MODELS])}


def measure(name: str, folder: Path, work: Path, options: argparse.Namespace) -> pd.DataFrame:
    """Measure the models on a shape: a row a model."""
    shape = SHAPES[name]
    shape.prepare(folder, work)
    found = list(tuned_and_tested(work, splits_seen(shape.fraction))) if options.only != "networks" else []
    found += networks(work, options.seeds) if options.only != "peers" else []
    table = pd.DataFrame(found).groupby(["model", "settings"], sort=False).mean().round(6).reset_index()
    sizes = read(work, "train").category.value_counts()
    of_shape = {"shape": name, "train_titles": sizes.sum(), "categories": len(sizes), "smallest": sizes.min()}
    of_shape |= {"largest": sizes.max(), "test_titles": len(read(work, "test"))}
    return pd.DataFrame([of_shape | row for row in table.to_dict("records")]).assign(commit=commit())


def networks(work: Path, seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Fit and test the networks and their mean, with each seed."""
    for seed in seeds:
        models = work / "networks" / str(seed)
        for name, cost in fit_all(work, models, NETWORKS, seed).items():
            yield tested(name, work, models, cost) | {"settings": f"seed {', '.join(map(str, seeds))}"}


def save(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Write the rows to the CSV in place of those of the same shape and model; return all rows."""
    if path.exists():
        table = pd.concat([pd.read_csv(path), table]).drop_duplicates(["shape", "model"], keep="last")
    table = table.sort_values(["shape", "model"], key=lambda names: names.map(ORDER), ignore_index=True)
    table.to_csv(path, index=False)
    return table


def printed(table: pd.DataFrame) -> str:
    """Format the rows of one shape as a heading, a Markdown table, and the networks beside the best peer."""
    first = table.iloc[0]
    title = f"### {first['shape']}: {SHAPES[first['shape']].description}"
    of_sizes = f"{first.categories:,} categories of {first.smallest:,} to {first.largest:,}"
    titles = f"{first.train_titles:,} titles to train on, {of_sizes}; {first.test_titles:,} test titles"
    columns = ["model", "settings", "balanced_accuracy", "low", "high", "standard_error", "accuracy", "fit_seconds"]
    shown = markdown(table[[*columns, "commit"]], {"fit_seconds": ".1f"})
    return f"{title}\n{titles}\n\n{shown}\n\n{beside_best_peer(table)}"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.shapes", description=__doc__)
    parser.add_argument("shapes", nargs="*", metavar="SHAPE", help=f"of {', '.join(SHAPES)}; by default all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[SEED], help="of our networks")
    parser.add_argument("--only", choices=["peers", "networks"], help="measure only these")
    parser.add_argument("--out", type=Path, default=Path("docs/shapes.csv"), help="the table as CSV")
    options = parser.parse_args()
    if unknown := set(options.shapes) - set(SHAPES):
        parser.error(f"no shape is called {', '.join(sorted(unknown))}; there are {', '.join(SHAPES)}")
    print(environment(), flush=True)
    for name in options.shapes or SHAPES:
        if (folder := SHAPES[name].folder()) is None:
            print(f"\n{name}: skipped, as TITLES_REAL_DATA is not set", flush=True)
            continue
        say(f"{name}: {SHAPES[name].description}")
        with tempfile.TemporaryDirectory() as work:
            rows = save(measure(name, folder, Path(work), options), options.out)
        print(f"\n{printed(rows[rows['shape'] == name])}", flush=True)


if __name__ == "__main__":
    main()
