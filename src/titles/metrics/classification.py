"""How well predicted labels match true ones."""

import numpy as np
from numpy.typing import NDArray

# As in Guo et al. (2017), for the expected calibration error and the chart beside it.
CALIBRATION_BINS = 15


def recall_per_category(
    labels: NDArray[np.integer], predicted: NDArray[np.integer], num_categories: int
) -> NDArray[np.float64]:
    """The share of each category's titles that were predicted as such, [categories]; NaN where it has no titles."""
    rows = np.bincount(labels, minlength=num_categories)
    hits = np.bincount(labels[labels == predicted], minlength=num_categories)
    return np.where(rows > 0, hits / np.maximum(rows, 1), np.nan)


def balanced_accuracy(labels: NDArray[np.integer], predicted: NDArray[np.integer]) -> float:
    """The mean recall of the categories in `labels`; one that is never predicted counts 0."""
    return float(np.nanmean(recall_per_category(labels, predicted, int(labels.max()) + 1)))


def smoothed_standard_error(labels: NDArray[np.integer], predicted: NDArray[np.integer]) -> float:
    """The standard error of balanced accuracy (not of accuracy), from the binomial variance of each category's recall.

    The variances are of recalls estimated with one right and one wrong title more (Agresti and Coull, 1998), so that a
    category of one title, whose recall is 0 or 1, counts as uncertain. Early stopping needs that, as few validation
    titles a category are the rule. `benchmarks.intervals` reports the plug-in estimate, which has no such titles.
    """
    rows = np.bincount(labels)
    hits = np.bincount(labels[labels == predicted], minlength=len(rows))[rows > 0]
    rows = rows[rows > 0]
    shares = (hits + 1) / (rows + 2)
    return float(np.sqrt((shares * (1 - shares) / rows).sum()) / len(rows))


def confidence_bins(confidence: NDArray[np.floating]) -> NDArray[np.int64]:
    """The number of the bin each confidence is in, of `CALIBRATION_BINS` equal bins from 0 to 1; 1 is in the last."""
    return np.minimum((confidence.astype(np.float64) * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)


def expected_calibration_error(is_correct: NDArray[np.bool_], confidence: NDArray[np.floating]) -> float:
    """How far confidence is from the share that is right, on average over titles, within equal bins of confidence.

    Guo et al. (2017), On calibration of modern neural networks.
    """
    differences = np.bincount(confidence_bins(confidence), is_correct - confidence.astype(np.float64))
    return float(np.abs(differences).sum() / len(is_correct))
