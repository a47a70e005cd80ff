"""Score thresholds: the lowest scores above which a network's decisions reach a target accuracy.

The accuracy above a score is measured on validation titles. If these are few, a high accuracy may be chance. A score
therefore becomes a threshold only if an exact binomial test (Clopper and Pearson, 1934) rejects the hypothesis that the
accuracy above it is lower than the target. The candidates are the scores that 5 %, 10 %, … 100 % of the titles reach.
The lowest candidate that passes is chosen, so each is tested at an equal fraction of the significance level (Bonferroni
correction).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TARGET_ACCURACIES = (0.9, 0.95, 0.99)
# The confidence level of each target accuracy.
CONFIDENCE = 0.95
NUM_CANDIDATES = 20
DIGITS = 6


@dataclass(frozen=True)
class Threshold:
    """With `confidence`, at least `accuracy` of the decisions with a score of `score` or more are correct.

    titles    the number of validation titles with such a score
    share     their share of all validation titles
    correct   the number of them with a correct decision
    """

    accuracy: float
    confidence: float
    score: float
    share: float
    titles: int
    correct: int


def select_thresholds(is_correct: NDArray[np.bool_], scores: NDArray[np.float32]) -> list[Threshold]:
    """Return the lowest threshold of each of `TARGET_ACCURACIES`. An accuracy that no threshold reaches is left out.

    is_correct    bool [titles], whether the predicted category of a title is the true one
    scores        float32 [titles], the score of that category
    """
    descending = np.sort(scores)[::-1]
    counts = np.ceil(np.arange(NUM_CANDIDATES, 0, -1) / NUM_CANDIDATES * len(scores)).astype(int)
    selected: dict[float, Threshold] = {}
    for candidate in descending[counts - 1] if len(scores) else []:
        # Rounded down, so that the title with this score still reaches the threshold.
        score = math.floor(float(candidate) * 10**DIGITS) / 10**DIGITS
        is_correct_above = is_correct[scores >= score]
        titles, num_correct = len(is_correct_above), int(np.count_nonzero(is_correct_above))
        for accuracy in TARGET_ACCURACIES:
            if (
                accuracy not in selected
                and _p_value(titles, num_correct, accuracy) <= (1 - CONFIDENCE) / NUM_CANDIDATES
            ):
                share = round(titles / len(scores), DIGITS)
                selected[accuracy] = Threshold(accuracy, CONFIDENCE, score, share, titles, num_correct)
    return [selected[accuracy] for accuracy in TARGET_ACCURACIES if accuracy in selected]


def _p_value(titles: int, num_correct: int, accuracy: float) -> float:
    """Return the probability of `num_correct` or more correct decisions if each is correct with probability `accuracy`.

    This is the upper tail of the binomial distribution of `titles` trials.
    """
    log_factorials = np.append(0, np.cumsum(np.log(np.arange(1, titles + 1))))
    num_wrong = np.arange(titles - num_correct + 1)
    log_binomials = log_factorials[titles] - log_factorials[num_wrong] - log_factorials[titles - num_wrong]
    log_probs = log_binomials + num_wrong * math.log(1 - accuracy) + (titles - num_wrong) * math.log(accuracy)
    return float(np.exp(log_probs).sum())
