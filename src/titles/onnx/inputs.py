"""Titles as an exported network takes them: two arrays of whole numbers, such as any language has.

words       int64 [titles, longest], each title's words: one of the vocabulary is its place there, any other the size
            of the vocabulary plus its row in `subwords`; `PADDING` after the last
subwords    int64 [unknown words, most n-grams], the buckets of each word's n-grams; `PADDING` after the last
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from titles.data.ragged import Ragged

PADDING = -1
# Few enough for their vectors to stay in the cache.
BATCH_SIZE = 256


def iter_batches(
    titles: Ragged, subword_ids: Ragged, vocabulary_size: int
) -> Iterator[tuple[NDArray[np.int64], dict[str, NDArray[np.int64]]]]:
    """Of `BATCH_SIZE` titles at a time which they are and their arrays; `titles` and `spelling` as of `Numbering`.

    Titles come together whose words, and whose unknown words' n-grams, are about as many, as padding costs time.
    """
    ngrams = np.append(np.diff(subword_ids.offsets)[titles.values], 0)
    order = np.lexsort((np.diff(titles.offsets), np.maximum.reduceat(ngrams, titles.offsets[:-1])))
    for first in range(0, len(order), BATCH_SIZE):
        rows = order[first : first + BATCH_SIZE]
        yield rows, model_inputs(titles.take(rows), subword_ids, vocabulary_size)


def model_inputs(titles: Ragged, subword_ids: Ragged, vocabulary_size: int) -> dict[str, NDArray[np.int64]]:
    """The arrays by name."""
    words = titles.values.copy()
    is_unknown = words >= vocabulary_size
    unknown, places = np.unique(words[is_unknown], return_inverse=True)
    words[is_unknown] = vocabulary_size + places
    return {"words": _pad(Ragged(words, titles.offsets)), "subwords": _pad(subword_ids.take(unknown))}


def _pad(rows: Ragged) -> NDArray[np.int64]:
    lengths = np.diff(rows.offsets)
    padded = np.full((len(rows), lengths.max(initial=0)), PADDING)
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = rows.values
    return padded
