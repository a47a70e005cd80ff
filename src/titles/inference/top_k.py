"""The top k categories of titles, ranked by probability times the weight for the objective.

A title without a usable word gets no category, because a network could only guess from the frequencies of categories.
A word is usable if it is in the vocabulary or has subwords.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from titles.text.normalization import clean

# The labels of the top categories of each title, the best first, and their probabilities, both [titles, top].
# The probabilities are NaN for a title without a usable word.
TopK = tuple[NDArray[np.int64], NDArray[np.float32]]

NO_TITLE, NO_LETTER, NO_WORD = NO_CATEGORY_REASONS = "no title", "no Latin letter or digit", "no usable word"


def allocate_top_k(num_titles: int, top: int, categories: NDArray[np.str_]) -> TopK:
    """Allocate uninitialized arrays for `top` categories per title, or for all categories if there are fewer."""
    shape = num_titles, min(top, len(categories))
    return np.empty(shape, np.int64), np.empty(shape, np.float32)


def fill_top_k(
    out: TopK,
    rows: slice | NDArray[np.int64],
    probabilities: NDArray[np.float32],
    weights: NDArray[np.float32],
) -> None:
    """Write the top k of each row of `probabilities` to the given rows of `out`.

    Labels are ranked by weighted probability; of equal ones, the lowest label comes first. `weights` [categories] come
    from `titles.nn.decision`.
    """
    labels, scores = out
    top = labels.shape[1]
    # For a small k, repeated maxima in NumPy are faster than any partial sort.
    remaining = probabilities * weights
    for rank in range(top):
        if rank:
            np.put_along_axis(remaining, labels[rows, rank - 1, None], -1, 1)
        labels[rows, rank] = remaining.argmax(1)
    scores[rows] = np.take_along_axis(probabilities, labels[rows], 1)


def prediction_columns(
    titles: pa.StringArray, categories: NDArray[np.str_], top_k: TopK, min_score: float = 0.0
) -> tuple[NDArray[np.int64], dict[str, pa.Array]]:
    """Return, for each row of the output table, the index of its title, and the columns category, score and reason.

    A title has a row for each of its categories with a score of at least `min_score`. A title without any has one row,
    which has only the reason.
    """
    labels, scores = top_k
    has_category = scores >= min_score
    is_row = has_category.copy()
    is_row[:, 0] = True
    title_indices = np.repeat(np.arange(len(titles)), is_row.sum(1))
    is_null = ~has_category[is_row]
    reasons = np.full(len(title_indices), None, object)
    for row in np.flatnonzero(is_null):
        index = title_indices[row]
        is_unusable, too_low = np.isnan(scores[index, 0]), f"no score of {min_score} or more"
        reasons[row] = no_category_reason(titles[index].as_py()) if is_unusable else too_low
    return title_indices, {
        "category": pa.array(categories).take(pa.array(labels[is_row], mask=is_null)),
        "score": pa.array(scores[is_row], mask=is_null),
        "reason": pa.array(reasons, pa.string()),
    }


def no_category_reason(title: str | None) -> str:
    """Return why a title without a usable word has no category."""
    if title is None or not title.strip():
        return NO_TITLE
    return NO_WORD if clean(title) else NO_LETTER
