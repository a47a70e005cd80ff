"""Exponent of the prior correction for balanced accuracy: `python -m benchmarks.decision [SHAPE ...]`.

`titles.nn.decision` divides the probability of each category by a power of its share of the training titles. The table
has a row per shape of `benchmarks.shapes` and network: balanced accuracy and accuracy on validation for each power.
Test titles are not used.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.contenders import NETWORKS, fit_network
from benchmarks.intervals import accuracies
from benchmarks.report import log_progress, markdown
from benchmarks.shapes import SEED, SHAPES
from benchmarks.trials import environment, read, run_in_process
from titles.inference.classifier import Classifier
from titles.inference.title_array import title_array

POWERS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)

Row = dict[str, str | float]


def measure(shape: str, folder: Path, work: Path) -> Iterator[Row]:
    """Yield a row per network and one for their mean."""
    SHAPES[shape].prepare(folder, work)
    for name in NETWORKS:
        run_in_process(fit_network, name, work, work / "models" / name, SEED)
    classifier, rows = Classifier.load(work / "models"), read(work, "validation")
    log_shares = classifier.vocabulary.log_shares
    for name, probabilities in classifier.probabilities(title_array(rows.title.tolist())).items():
        row: Row = {"shape": shape, "network": name, "titles": str(len(rows))}
        for power in POWERS:
            predicted = classifier.categories[(probabilities * np.exp(-power * log_shares)).argmax(1)]
            result = accuracies(rows.category.tolist(), predicted.tolist())
            row[str(power)] = f"{result['balanced_accuracy']:.4f} / {result['accuracy']:.4f}"
        log_progress(f"{shape}, {name}: {row}")
        yield row


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.decision", description=__doc__)
    parser.add_argument("shapes", nargs="*", metavar="SHAPE", help=f"one or more of {', '.join(SHAPES)}; default: all")
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
