"""The best categories of titles, by the probabilities of all, weighted as the objective has it.

A title with nothing to go on gets no category: no network knows any more of it than how frequent categories are.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from titles.text.normalization import clean

# The labels of the best categories of each title, the best first, and their probabilities, both [titles, top].
# The probabilities are NaN where a title has nothing to go on.
TopK = tuple[NDArray[np.int64], NDArray[np.float32]]

NO_TITLE, NO_LETTER, NO_WORD = NO_CATEGORY_REASONS = "no title", "no Latin letter or digit", "no known word"


def allocate_top_k(num_titles: int, top: int, categories: NDArray[np.str_]) -> TopK:
    """For the best of these categories, or for all, if there are no more."""
    shape = num_titles, min(top, len(categories))
    return np.empty(shape, np.int64), np.empty(shape, np.float32)


def fill_top_k(
    out: TopK,
    rows: slice | NDArray[np.int64],
    probabilities: NDArray[np.float32],
    weights: NDArray[np.float32],
) -> None:
    """Puts the best of each row of the probabilities into those rows; of equals the one of the lowest label.

    The best are those of the highest weighted probability; `weights` [categories] are of `titles.nn.decision`.
    """
    labels, scores = out
    top = labels.shape[1]
    # NumPy finds a maximum so fast that for a few of them this takes less time than any partial sort.
    left = probabilities * weights
    for place in range(top):
        if place:
            np.put_along_axis(left, labels[rows, place - 1, None], -1, 1)
        labels[rows, place] = left.argmax(1)
    scores[rows] = np.take_along_axis(probabilities, labels[rows], 1)


def prediction_columns(
    titles: pa.StringArray, categories: NDArray[np.str_], top_k: TopK, min_score: float = 0.0
) -> tuple[NDArray[np.int64], dict[str, pa.Array]]:
    """The rows of a table: of which title each is, and its category, score and reason.

    A title has a row for each of its categories that score `min_score` or more. Without any it has one row, with
    nothing but the reason.
    """
    labels, scores = top_k
    is_named = scores >= min_score
    is_row = is_named.copy()
    is_row[:, 0] = True
    rows = np.repeat(np.arange(len(titles)), is_row.sum(1))
    is_absent = ~is_named[is_row]
    reasons = np.full(len(rows), None, object)
    for place in np.flatnonzero(is_absent):
        row = rows[place]
        nothing, too_low = np.isnan(scores[row, 0]), f"no score of {min_score} or more"
        reasons[place] = no_category_reason(titles[row].as_py()) if nothing else too_low
    return rows, {
        "category": pa.array(categories).take(pa.array(labels[is_row], mask=is_absent)),
        "score": pa.array(scores[is_row], mask=is_absent),
        "reason": pa.array(reasons, pa.string()),
    }


def no_category_reason(title: str | None) -> str:
    """Why a title with nothing to go on has no category."""
    if title is None or not title.strip():
        return NO_TITLE
    return NO_WORD if clean(title) else NO_LETTER
