"""Score thresholds: the scores from which on a network's decisions have an asked accuracy, and how sure that is.

The accuracy of the titles above a score is measured on validation titles, and may be luck where these are few. So a
threshold is given only where an exact binomial test, that of Clopper and Pearson (1934), rejects that the accuracy
above it is lower than asked. The scores that are tested are those that 5 %, 10 %, … 100 % of the titles reach. As the
lowest of many that pass is chosen, each is tested at an equal part of the significance level (Bonferroni correction).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TARGET_ACCURACIES = (0.9, 0.95, 0.99)
# For each of the accuracies, the probability that its threshold keeps to it.
CONFIDENCE = 0.95
NUM_CANDIDATES = 20
DIGITS = 6


@dataclass(frozen=True)
class Threshold:
    """With `confidence`, at least `accuracy` of the decisions that score `score` or more are right.

    Measured on `titles` validation titles that score so high, which are `share` of all and of which `right` are right.
    """

    accuracy: float
    confidence: float
    score: float
    share: float
    titles: int
    right: int


def select_thresholds(is_correct: NDArray[np.bool_], scores: NDArray[np.float32]) -> list[Threshold]:
    """For each of `ACCURACIES` the threshold that most titles reach, none where too few titles are right to be sure.

    Both [titles]: whether the best category of a title is the true one, and its score.
    """
    descending = np.sort(scores)[::-1]
    reach = np.ceil(np.arange(NUM_CANDIDATES, 0, -1) / NUM_CANDIDATES * len(scores)).astype(int)
    found: dict[float, Threshold] = {}
    for lowest in descending[reach - 1] if len(scores) else []:
        # Rounded down, so that the title that scores lowest still reaches it.
        score = math.floor(float(lowest) * 10**DIGITS) / 10**DIGITS
        reached = is_correct[scores >= score]
        titles, right = len(reached), int(np.count_nonzero(reached))
        for accuracy in TARGET_ACCURACIES:
            if accuracy not in found and _p_value(titles, right, accuracy) <= (1 - CONFIDENCE) / NUM_CANDIDATES:
                share = round(titles / len(scores), DIGITS)
                found[accuracy] = Threshold(accuracy, CONFIDENCE, score, share, titles, right)
    return [found[accuracy] for accuracy in TARGET_ACCURACIES if accuracy in found]


def _p_value(titles: int, right: int, accuracy: float) -> float:
    """The probability that so many or more of the titles are right where each is right with that `accuracy`."""
    log_factorials = np.append(0, np.cumsum(np.log(np.arange(1, titles + 1))))
    wrong = np.arange(titles - right + 1)
    log_ways = log_factorials[titles] - log_factorials[wrong] - log_factorials[titles - wrong]
    logs = log_ways + wrong * math.log(1 - accuracy) + (titles - wrong) * math.log(accuracy)
    return float(np.exp(logs).sum())
