"""Sampling error of balanced accuracy and of accuracy on test titles.

    python -m benchmarks.intervals [TABLE]

prints the 95 % interval of each accuracy in the table of `benchmarks.shapes`, by default docs/data/shapes.csv. The
interval of accuracy is Wilson's for a binomial proportion: it follows from the accuracy and the number of test titles.

Balanced accuracy has a standard error and a bootstrap interval. Both take the number of test titles per category as
fixed; only the number of correct predictions varies. For category k with n_k test titles and recall r_k, that number is
binomial(n_k, r_k). A recall of 0 or 1 contributes no variance. It is common for categories of one or two test titles,
so both are too narrow if most categories are that small.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.contenders import PEERS
from benchmarks.report import markdown

RESAMPLES, LEVEL, SEED = 10_000, 0.95, 0
# How far the accuracy of a network may be below that of the best peer.
ACCURACY_TOLERANCE = 0.003

Counts = NDArray[np.int64]


def count_correct(true: Sequence[str], predicted: Sequence[str]) -> tuple[Counts, Counts]:
    """Count the titles and the correct predictions of each category in `true`, both [categories]."""
    names, labels = np.unique(np.asarray(true, object), return_inverse=True)
    correct = np.asarray(true, object) == np.asarray(predicted, object)
    return np.bincount(labels, minlength=len(names)), np.bincount(labels[correct], minlength=len(names))


def plug_in_standard_error(titles: Counts, correct: Counts) -> float:
    """Return the plug-in standard error of balanced accuracy: sqrt(sum r_k (1 - r_k) / n_k) / num_categories.

    Early stopping smooths the recalls r_k first, see `titles.metrics.classification.smoothed_standard_error`.
    """
    recall = correct / titles
    return float(np.sqrt((recall * (1 - recall) / titles).sum()) / len(titles))


def bootstrap(titles: Counts, correct: Counts) -> tuple[float, float]:
    """Return the percentile interval of balanced accuracy at `LEVEL`, with test titles resampled within each category.

    Resampling n_k titles with replacement and counting the correct ones is one draw of binomial(n_k, r_k).
    """
    drawn = np.random.default_rng(SEED).binomial(titles, correct / titles, (RESAMPLES, len(titles)))
    low, high = np.quantile((drawn / titles).mean(1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def wilson_interval(accuracy: float, titles: int) -> tuple[float, float]:
    """Return the interval of Wilson (1927) at `LEVEL` for an accuracy on `titles` test titles."""
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    centre = accuracy + z**2 / (2 * titles)
    margin = z * float(np.sqrt(accuracy * (1 - accuracy) / titles + z**2 / (4 * titles**2)))
    return (centre - margin) / (1 + z**2 / titles), (centre + margin) / (1 + z**2 / titles)


def accuracies(true: Sequence[str], predicted: Sequence[str]) -> dict[str, float]:
    """Return balanced accuracy with its interval (low, high) and its standard error, and accuracy."""
    titles, correct = count_correct(true, predicted)
    low, high = bootstrap(titles, correct)
    return {
        "balanced_accuracy": float((correct / titles).mean()),
        "low": low,
        "high": high,
        "standard_error": plug_in_standard_error(titles, correct),
        "accuracy": float(correct.sum() / titles.sum()),
    }


def compare_with_best_peer(table: pd.DataFrame) -> str:
    """Describe the difference of each network, and of their mean, to the peer of the highest balanced accuracy.

    `table` has a row per model with its `accuracies`. Return an empty text if it has no peer.
    """
    is_peer = table.model.isin(PEERS)
    if not is_peer.any():
        return ""
    best = table.loc[table[is_peer].balanced_accuracy.idxmax()]
    error = best.standard_error
    lines = [f"Best peer: {best.model}, standard error {error:.4f}"]
    for row in table[~is_peer].to_dict("records"):
        balanced, plain = (round(row[column] - best[column], 6) for column in ("balanced_accuracy", "accuracy"))
        verdict = "higher" if balanced > 0 else "within one standard error" if balanced >= -error else "LOWER"
        tolerance = "BELOW the tolerance" if plain < -ACCURACY_TOLERANCE else "within the tolerance"
        lines.append(
            f"- {row['model']}: balanced accuracy {balanced:+.4f}, {verdict}; accuracy {plain:+.4f}, {tolerance}"
        )
    return "\n".join(lines) + "\n"


def with_intervals(table: pd.DataFrame) -> pd.DataFrame:
    """Return shape, model, balanced accuracy and accuracy, each accuracy with its interval as text."""
    accuracy = [
        _format(value, *wilson_interval(value, titles))
        for value, titles in zip(table.accuracy, table.test_titles, strict=True)
    ]
    balanced = map(_format, table.balanced_accuracy, table.low, table.high)
    return table[["shape", "model"]].assign(balanced_accuracy=list(balanced), accuracy=accuracy)


def _format(value: float, low: float, high: float) -> str:
    return f"{value:.4f} ({low:.4f} to {high:.4f})"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.intervals", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path, nargs="?", default=Path("docs/data/shapes.csv"))
    print(markdown(with_intervals(pd.read_csv(parser.parse_args().table)), {}))


if __name__ == "__main__":
    main()
