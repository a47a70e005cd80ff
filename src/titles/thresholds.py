"""The scores from which on a network is right as often as one asks of it."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ACCURACIES = (0.9, 0.95, 0.99)
DIGITS = 6


@dataclass(frozen=True)
class Threshold:
    """Of the titles that score at least `score`, which are that `share` of all, so many are right."""

    accuracy: float
    score: float
    share: float


def thresholds(is_right: NDArray[np.bool_], scores: NDArray[np.float32]) -> list[Threshold]:
    """For each of `ACCURACIES` the threshold that most titles reach, none where even the surest are wrong more often.

    Both [titles]: whether the best category of a title is the true one, and its score.
    """
    order = np.argsort(-scores, kind="stable")
    accuracy = is_right[order].cumsum() / np.arange(1, len(order) + 1)
    # Titles that score the same are above it together or not at all.
    is_last = np.append(np.diff(scores[order]) != 0, True)[: len(order)]
    found = []
    for asked in ACCURACIES:
        if len(places := np.flatnonzero(is_last & (accuracy >= asked))):
            # Rounded down, so that the last of them still reaches it.
            score = math.floor(float(scores[order[places[-1]]]) * 10**DIGITS) / 10**DIGITS
            found.append(Threshold(asked, score, round(int(places[-1] + 1) / len(order), DIGITS)))
    return found
