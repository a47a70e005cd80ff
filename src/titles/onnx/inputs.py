"""The inputs of an exported network: two arrays of integers, which any language can build.

words       int64 [titles, longest], the word ids of each title. An id below the vocabulary size is an index into the
            vocabulary; other ids are the vocabulary size plus a row of `subwords`. Rows end with `PADDING`.
subwords    int64 [out-of-vocabulary words, max n-grams], the hash buckets of the n-grams of each word outside the
            vocabulary. Rows end with `PADDING`.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from titles.data.ragged import Ragged

PADDING = -1
# Few enough for the word vectors of a batch to stay in the CPU's cache.
BATCH_SIZE = 256


def iter_batches(
    titles: Ragged, subword_ids: Ragged, vocabulary_size: int
) -> Iterator[tuple[NDArray[np.int64], dict[str, NDArray[np.int64]]]]:
    """Iterate over batches of `BATCH_SIZE` titles: the indices of the titles, and their input arrays by name.

    `titles` and `subword_ids` are the result of `TitleEncoder.encode`. Titles are sorted by their numbers of words and
    of n-grams, so that batches need little padding, which costs time.
    """
    ngrams = np.append(np.diff(subword_ids.offsets)[titles.values], 0)
    order = np.lexsort((np.diff(titles.offsets), np.maximum.reduceat(ngrams, titles.offsets[:-1])))
    for first in range(0, len(order), BATCH_SIZE):
        rows = order[first : first + BATCH_SIZE]
        yield rows, model_inputs(titles.take(rows), subword_ids, vocabulary_size)


def model_inputs(titles: Ragged, subword_ids: Ragged, vocabulary_size: int) -> dict[str, NDArray[np.int64]]:
    """Build the input arrays of the titles, by name."""
    words = titles.values.copy()
    is_oov = words >= vocabulary_size
    oov_ids, subword_rows = np.unique(words[is_oov], return_inverse=True)
    words[is_oov] = vocabulary_size + subword_rows
    return {"words": _pad(Ragged(words, titles.offsets)), "subwords": _pad(subword_ids.take(oov_ids))}


def _pad(rows: Ragged) -> NDArray[np.int64]:
    lengths = np.diff(rows.offsets)
    padded = np.full((len(rows), lengths.max(initial=0)), PADDING)
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = rows.values
    return padded
