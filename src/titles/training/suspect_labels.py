"""Which labels are suspect, by what those who have not learned from them hold for probable.

A label is suspect if another category is several times as probable, and not much less probable than it is on average
for the titles that are labelled so, as in Confident learning (Northcutt et al., 2021).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# How many times as probable as the label another category must be, and at least as probable as this part of its own
# average.
MIN_ODDS, MIN_MEAN_FRACTION = 3.0, 0.5
# What a category's average probability is drawn to that of all, in titles.
PRIOR_TITLES = 5
# A category keeps a quarter of its titles, and at least this many.
MIN_CATEGORY_FRACTION, MIN_CATEGORY_TITLES = 0.25, 5


@dataclass(frozen=True)
class LabelProbabilities:
    """Of each title the probability of its label, the most probable other category and its probability, [titles]."""

    label_probs: NDArray[np.float32]
    other_category: NDArray[np.int32]
    other_probs: NDArray[np.float32]

    @classmethod
    def empty(cls, titles: int) -> "LabelProbabilities":
        """Of titles whose label nothing speaks against."""
        return cls(np.ones(titles, np.float32), np.zeros(titles, np.int32), np.zeros(titles, np.float32))

    def mean_label_probs(self, labels: NDArray[np.int32], categories: int) -> NDArray[np.float64]:
        """The mean probability of each category for the titles that are labelled so, [categories]."""
        sums, counts = np.bincount(labels, self.label_probs, categories), np.bincount(labels, minlength=categories)
        averages: NDArray[np.float64] = (sums + PRIOR_TITLES * self.label_probs.mean()) / (counts + PRIOR_TITLES)
        return averages

    def suspects(self, mean_label_probs: NDArray[np.float64]) -> NDArray[np.bool_]:
        least = np.maximum(MIN_MEAN_FRACTION * mean_label_probs[self.other_category], MIN_ODDS * self.label_probs)
        is_suspect: NDArray[np.bool_] = self.other_probs >= least
        return is_suspect


def required_titles(odds: NDArray[np.float32], labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Those that their category cannot do without, of which the odds are the least, [titles]."""
    order = np.lexsort((odds, labels))
    sizes = np.bincount(labels)
    starts = np.cumsum(sizes) - sizes
    ranks = np.empty(len(labels), np.int64)
    ranks[order] = np.arange(len(labels)) - starts[labels[order]]
    is_needed: NDArray[np.bool_] = (
        ranks < np.maximum(MIN_CATEGORY_TITLES, np.ceil(MIN_CATEGORY_FRACTION * sizes))[labels]
    )
    return is_needed


def required_titles_by_group(
    groups: Iterable[NDArray[np.integer]], odds: NDArray[np.float32], labels: NDArray[np.int32]
) -> NDArray[np.bool_]:
    """Those that are `needed` within a group, which is given by the numbers of its titles, [titles]."""
    is_needed = np.zeros(len(labels), bool)
    for titles in groups:
        is_needed[titles] = required_titles(odds[titles], labels[titles])
    return is_needed
