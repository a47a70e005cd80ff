"""What models of the invented catalogue make of real titles: `python -m benchmarks.transfer FOLDER`.

Counts the titles of the train files in FOLDER whose category the model knows, in its own language or another.
"""

import argparse
from pathlib import Path

import pandas as pd

from benchmarks.holdout import read_rows
from titles.inference.classifier import Classifier
from titles.metrics.classification import balanced_accuracy


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.transfer", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", type=Path, nargs="+", default=[Path("models/mlp"), Path("models/cnn")])
    options = parser.parse_args()
    rows = pd.DataFrame(read_rows(options.folder)).dropna(subset=["title", "category"])
    for folder in options.models:
        classifier = Classifier.load(folder)
        known = rows[rows.category.isin(classifier.categories)].reset_index(drop=True)
        said = classifier.predict(known.title, top=5)
        said["true"] = known.category
        labels = {name: label for label, name in enumerate(classifier.categories)}
        best = said[~said.index.duplicated()]
        found = best.category.map(labels).fillna(-1)
        recall = balanced_accuracy(best.true.map(labels).to_numpy(), found.to_numpy())
        top5 = (said.category == said.true).groupby(level=0).any().mean()
        print(
            f"{folder}: balanced accuracy {recall:.4f}, top-5 accuracy {top5:.4f} "
            f"on {len(known):,} titles of {known.category.nunique()} categories ({len(labels)} known to the model)"
        )


if __name__ == "__main__":
    main()
