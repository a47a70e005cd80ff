"""The power of the decision for balanced accuracy, on validation: `python -m benchmarks.decision [SHAPE ...]`.

`titles.nn.decision` divides the probability of each category by its share of the training titles to a power. A row a
shape of `benchmarks.shapes` and network: balanced accuracy and accuracy on validation titles for each power.
Test titles are not looked at.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.contenders import NETWORKS, fit_network
from benchmarks.intervals import accuracies
from benchmarks.report import markdown, say
from benchmarks.shapes import SEED, SHAPES
from benchmarks.trials import alone, environment, read
from titles.inference.classifier import Classifier
from titles.inference.title_array import title_array

POWERS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)

Row = dict[str, str | float]


def measure(shape: str, folder: Path, work: Path) -> Iterator[Row]:
    """Yield a row for each network and for the mean of both."""
    SHAPES[shape].prepare(folder, work)
    for name in NETWORKS:
        alone(fit_network, name, work, work / "models" / name, SEED)
    classifier, rows = Classifier.load(work / "models"), read(work, "validation")
    log_shares = classifier.vocabulary.log_shares
    for name, probabilities in classifier.probabilities(title_array(rows.title.tolist())).items():
        row: Row = {"shape": shape, "network": name, "titles": str(len(rows))}
        for power in POWERS:
            predicted = classifier.categories[(probabilities * np.exp(-power * log_shares)).argmax(1)]
            found = accuracies(rows.category.tolist(), predicted.tolist())
            row[str(power)] = f"{found['balanced_accuracy']:.4f} / {found['accuracy']:.4f}"
        say(f"{shape}, {name}: {row}")
        yield row


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.decision", description=__doc__)
    parser.add_argument("shapes", nargs="*", metavar="SHAPE", help=f"of {', '.join(SHAPES)}; by default all")
    options = parser.parse_args()
    print(f"{environment()}\n", flush=True)
    rows: list[Row] = []
    for shape in options.shapes or SHAPES:
        if folder := SHAPES[shape].folder():
            with tempfile.TemporaryDirectory() as work:
                rows += measure(shape, folder, Path(work))
    print(markdown(pd.DataFrame(rows), {}))


if __name__ == "__main__":
    main()
