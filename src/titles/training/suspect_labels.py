"""Suspect labels: labels that out-of-sample predicted probabilities contradict.

A label is suspect if another category is several times as probable, and its probability is not far below the average
that this category has for its own titles. The second condition is the per-class threshold of Confident Learning
(Northcutt et al., 2021).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Another category must be at least this many times as probable as the label, and at least this fraction of its own
# average probability.
MIN_ODDS, MIN_MEAN_FRACTION = 3.0, 0.5
# Each category's average probability is smoothed towards the overall average, as if by this many more titles.
PRIOR_TITLES = 5
# A category retains at least this fraction of its titles, and at least this many.
MIN_CATEGORY_FRACTION, MIN_CATEGORY_TITLES = 0.25, 5


@dataclass(frozen=True)
class LabelProbabilities:
    """For each title its label's probability, the most probable other category and that one's probability, [titles]."""

    label_probs: NDArray[np.float32]
    other_category: NDArray[np.int32]
    other_probs: NDArray[np.float32]

    @classmethod
    def empty(cls, titles: int) -> "LabelProbabilities":
        """Probabilities that make no label suspect."""
        return cls(np.ones(titles, np.float32), np.zeros(titles, np.int32), np.zeros(titles, np.float32))

    def mean_label_probs(self, labels: NDArray[np.int32], categories: int) -> NDArray[np.float64]:
        """The smoothed mean probability of each category over the titles with that label, [categories]."""
        sums, counts = np.bincount(labels, self.label_probs, categories), np.bincount(labels, minlength=categories)
        means: NDArray[np.float64] = (sums + PRIOR_TITLES * self.label_probs.mean()) / (counts + PRIOR_TITLES)
        return means

    def suspects(self, mean_label_probs: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether each label is suspect, [titles], by the mean probability of each category, [categories]."""
        lower_bound = np.maximum(MIN_MEAN_FRACTION * mean_label_probs[self.other_category], MIN_ODDS * self.label_probs)
        is_suspect: NDArray[np.bool_] = self.other_probs >= lower_bound
        return is_suspect


def required_titles(odds: NDArray[np.float32], labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Whether each title belongs to the titles that its category must retain, the ones with the lowest odds, [titles].

    odds    float32 [titles], how many times as probable as the label another category is; 0 if the label is not suspect
    labels  int32 [titles]
    """
    order = np.lexsort((odds, labels))
    sizes = np.bincount(labels)
    starts = np.cumsum(sizes) - sizes
    ranks = np.empty(len(labels), np.int64)
    ranks[order] = np.arange(len(labels)) - starts[labels[order]]
    min_titles = np.maximum(MIN_CATEGORY_TITLES, np.ceil(MIN_CATEGORY_FRACTION * sizes))
    is_required: NDArray[np.bool_] = ranks < min_titles[labels]
    return is_required


def required_titles_by_group(
    groups: Iterable[NDArray[np.integer]], odds: NDArray[np.float32], labels: NDArray[np.int32]
) -> NDArray[np.bool_]:
    """`required_titles` within each group, [titles]. A group is an array of rows."""
    is_required = np.zeros(len(labels), bool)
    for rows in groups:
        is_required[rows] = required_titles(odds[rows], labels[rows])
    return is_required
