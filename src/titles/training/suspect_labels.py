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
ODDS, AVERAGE = 3.0, 0.5
# What a category's average probability is drawn to that of all, in titles.
PRIOR_TITLES = 5
# A category keeps a quarter of its titles, and at least this many.
KEPT_SHARE, KEPT_TITLES = 0.25, 5


@dataclass(frozen=True)
class Judged:
    """Of each title the probability of its label, the most probable other category and its probability, [titles]."""

    of_label: NDArray[np.float32]
    other: NDArray[np.int32]
    of_other: NDArray[np.float32]

    @classmethod
    def empty(cls, titles: int) -> "Judged":
        """Of titles whose label nothing speaks against."""
        return cls(np.ones(titles, np.float32), np.zeros(titles, np.int32), np.zeros(titles, np.float32))

    def averages(self, labels: NDArray[np.int32], categories: int) -> NDArray[np.float64]:
        """The mean probability of each category for the titles that are labelled so, [categories]."""
        sums, counts = np.bincount(labels, self.of_label, categories), np.bincount(labels, minlength=categories)
        averages: NDArray[np.float64] = (sums + PRIOR_TITLES * self.of_label.mean()) / (counts + PRIOR_TITLES)
        return averages

    def suspects(self, averages: NDArray[np.float64]) -> NDArray[np.bool_]:
        least = np.maximum(AVERAGE * averages[self.other], ODDS * self.of_label)
        is_suspect: NDArray[np.bool_] = self.of_other >= least
        return is_suspect


def needed(odds: NDArray[np.float32], labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Those that their category cannot do without, of which the odds are the least, [titles]."""
    order = np.lexsort((odds, labels))
    sizes = np.bincount(labels)
    starts = np.cumsum(sizes) - sizes
    ranks = np.empty(len(labels), np.int64)
    ranks[order] = np.arange(len(labels)) - starts[labels[order]]
    is_needed: NDArray[np.bool_] = ranks < np.maximum(KEPT_TITLES, np.ceil(KEPT_SHARE * sizes))[labels]
    return is_needed


def needed_within(
    groups: Iterable[NDArray[np.integer]], odds: NDArray[np.float32], labels: NDArray[np.int32]
) -> NDArray[np.bool_]:
    """Those that are `needed` within a group, which is given by the numbers of its titles, [titles]."""
    is_needed = np.zeros(len(labels), bool)
    for titles in groups:
        is_needed[titles] = needed(odds[titles], labels[titles])
    return is_needed
