"""Accuracy on real titles of models trained on the invented catalogue: `python -m benchmarks.transfer FOLDER`.

Evaluates on the titles of the train files in FOLDER that have a category of the model, in any language.
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
        titles = rows[rows.category.isin(classifier.categories)].reset_index(drop=True)
        predictions = classifier.predict(titles.title, top=5)
        predictions["true"] = titles.category
        labels = {name: label for label, name in enumerate(classifier.categories)}
        best = predictions[~predictions.index.duplicated()]
        predicted = best.category.map(labels).fillna(-1)
        recall = balanced_accuracy(best.true.map(labels).to_numpy(), predicted.to_numpy())
        top5 = (predictions.category == predictions.true).groupby(level=0).any().mean()
        print(
            f"{folder}: balanced accuracy {recall:.4f}, top-5 accuracy {top5:.4f} "
            f"on {len(titles):,} titles of {titles.category.nunique()} categories (the model has {len(labels)})"
        )


if __name__ == "__main__":
    main()
