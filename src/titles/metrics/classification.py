"""Classification metrics: recall, balanced accuracy and its standard error, expected calibration error."""

import numpy as np
from numpy.typing import NDArray

# The number of bins of the expected calibration error and of the reliability diagram, as in Guo et al. (2017).
CALIBRATION_BINS = 15


def recall_per_category(
    labels: NDArray[np.integer], predicted: NDArray[np.integer], num_categories: int
) -> NDArray[np.float64]:
    """Return the recall of each category, float64 [categories]; NaN for a category without titles."""
    rows = np.bincount(labels, minlength=num_categories)
    hits = np.bincount(labels[labels == predicted], minlength=num_categories)
    return np.where(rows > 0, hits / np.maximum(rows, 1), np.nan)


def balanced_accuracy(labels: NDArray[np.integer], predicted: NDArray[np.integer]) -> float:
    """Return the mean recall of the categories in `labels`. A category that is never predicted has recall 0."""
    return float(np.nanmean(recall_per_category(labels, predicted, int(labels.max()) + 1)))


def smoothed_standard_error(labels: NDArray[np.integer], predicted: NDArray[np.integer]) -> float:
    """Return the standard error of balanced accuracy, from the binomial variance of each category's recall.

    For the variance, one correct and one wrong prediction are added to each category (Agresti and Coull, 1998).
    Otherwise the recall of a category with one title would have variance 0. Early stopping needs this, because most
    categories have few validation titles. `benchmarks.intervals` reports the plug-in estimate, without this addition.
    """
    rows = np.bincount(labels)
    hits = np.bincount(labels[labels == predicted], minlength=len(rows))[rows > 0]
    rows = rows[rows > 0]
    shares = (hits + 1) / (rows + 2)
    return float(np.sqrt((shares * (1 - shares) / rows).sum()) / len(rows))


def confidence_bins(confidence: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the index of the bin of each confidence, of `CALIBRATION_BINS` equal bins; 1 is in the last bin."""
    return np.minimum((confidence.astype(np.float64) * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)


def expected_calibration_error(is_correct: NDArray[np.bool_], confidence: NDArray[np.floating]) -> float:
    """Return the expected calibration error: the mean over bins of |accuracy - mean confidence|, weighted by titles.

    Source: Guo et al. (2017), On calibration of modern neural networks.
    """
    differences = np.bincount(confidence_bins(confidence), is_correct - confidence.astype(np.float64))
    return float(np.abs(differences).sum() / len(is_correct))
