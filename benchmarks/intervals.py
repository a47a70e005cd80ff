"""How far balanced accuracy depends on the draw of the test titles: its standard error and a bootstrap interval.

Both take the number of test titles of each category as given and let only the number of right ones vary. In category k
with n_k test titles, of which the share r_k is right, that number is binomial. A category of one or two test titles is
all right or all wrong and then adds nothing, so where most categories are that small, both are too narrow.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.contenders import PEERS

RESAMPLES, LEVEL, SEED = 10_000, 0.95, 0
# How far below that of the best peer a network's accuracy may be.
ACCURACY_BELOW = 0.003

Counts = NDArray[np.int64]


def count_right(true: Sequence[str], predicted: Sequence[str]) -> tuple[Counts, Counts]:
    """Count the titles of each category in `true`, and those of them that were predicted right, both [categories]."""
    names, labels = np.unique(np.asarray(true, object), return_inverse=True)
    right = np.asarray(true, object) == np.asarray(predicted, object)
    return np.bincount(labels, minlength=len(names)), np.bincount(labels[right], minlength=len(names))


def plug_in_standard_error(titles: Counts, right: Counts) -> float:
    """Return the plug-in standard error of balanced accuracy: sqrt(sum r_k (1 - r_k) / n_k) / categories.

    Early stopping smooths the recalls r_k first: see `titles.metrics.classification.smoothed_standard_error`.
    """
    recall = right / titles
    return float(np.sqrt((recall * (1 - recall) / titles).sum()) / len(titles))


def bootstrap(titles: Counts, right: Counts) -> tuple[float, float]:
    """Return the percentile interval of balanced accuracy at `LEVEL`, resampling test titles within each category.

    Drawing n_k titles of a category with replacement and counting the right ones is one binomial(n_k, r_k) draw.
    """
    drawn = np.random.default_rng(SEED).binomial(titles, right / titles, (RESAMPLES, len(titles)))
    low, high = np.quantile((drawn / titles).mean(1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def accuracies(true: Sequence[str], predicted: Sequence[str]) -> dict[str, float]:
    """Return balanced accuracy with its interval (low, high) and its standard error, and accuracy."""
    titles, right = count_right(true, predicted)
    low, high = bootstrap(titles, right)
    return {
        "balanced_accuracy": float((right / titles).mean()),
        "low": low,
        "high": high,
        "standard_error": plug_in_standard_error(titles, right),
        "accuracy": float(right.sum() / titles.sum()),
    }


def beside_best_peer(table: pd.DataFrame) -> str:
    """Say how far each network, and the mean, is from the peer of the highest balanced accuracy.

    `table` has a row a model with its `accuracies`; without a peer in it there is nothing to say.
    """
    is_peer = table.model.isin(PEERS)
    if not is_peer.any():
        return ""
    best = table.loc[table[is_peer].balanced_accuracy.idxmax()]
    error = best.standard_error
    lines = [f"Best peer: {best.model}, standard error {error:.4f}"]
    for row in table[~is_peer].to_dict("records"):
        balanced, plain = (round(row[column] - best[column], 6) for column in ("balanced_accuracy", "accuracy"))
        place = "ahead" if balanced > 0 else "within a standard error" if balanced >= -error else "BEHIND by more"
        kept = "BELOW what is allowed" if plain < -ACCURACY_BELOW else "as wanted"
        lines.append(f"- {row['model']}: balanced accuracy {balanced:+.4f}, {place}; accuracy {plain:+.4f}, {kept}")
    return "\n".join(lines) + "\n"
