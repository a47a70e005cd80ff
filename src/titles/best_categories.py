"""The best categories of titles, by the probabilities of all, weighted as the objective has it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

# The labels of the best categories of each title, the best first, and their probabilities, both [titles, top].
Best = tuple[NDArray[np.int64], NDArray[np.float32]]


def room(titles: int, top: int, categories: NDArray[np.str_]) -> Best:
    """For the best of these categories, or for all, if there are no more."""
    shape = titles, min(top, len(categories))
    return np.empty(shape, np.int64), np.empty(shape, np.float32)


def put(
    found: Best,
    rows: slice | NDArray[np.int64],
    probabilities: NDArray[np.float32],
    weights: NDArray[np.float32],
) -> None:
    """Puts the best of each row of the probabilities into those rows; of equals the one of the lowest label.

    The best are those of the highest weighted probability; `weights` [categories] are of `titles.decision`.
    """
    labels, scores = found
    top = labels.shape[1]
    # NumPy finds a maximum so fast that for a few of them this takes less time than any partial sort.
    left = probabilities * weights
    for place in range(top):
        if place:
            np.put_along_axis(left, labels[rows, place - 1, None], -1, 1)
        labels[rows, place] = left.argmax(1)
    scores[rows] = np.take_along_axis(probabilities, labels[rows], 1)


def texts_of(titles: Sequence[str]) -> pa.StringArray:
    """The titles as text, in which ? stands for half of a surrogate pair. Raises TypeError for a single title."""
    if isinstance(titles, str):
        raise TypeError(f"titles are a list of texts, not one: [{titles!r}]")
    return pa.array([title.encode(errors="replace").decode() for title in titles], pa.string())


def table_of(titles: pa.StringArray, categories: NDArray[np.str_], best: Best) -> pd.DataFrame:
    """`top` rows a title of title, category and score."""
    labels, scores = best
    columns = {"category": categories[labels.ravel()], "score": scores.ravel()}
    return pd.DataFrame({"title": titles.to_pandas().repeat(labels.shape[1]).array} | columns)
