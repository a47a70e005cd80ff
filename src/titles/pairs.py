"""Pairs of words that follow one another, as keys: one number made of the numbers of both words."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from titles.ragged import Ragged

NO_PAIR = -1
# Keys that are sorted at a time, 8 bytes each.
PART = 16_000_000
BLOCK_ROWS = 1_000_000


def pair_keys(titles: Ragged) -> NDArray[np.int64]:
    """For every word the key of the pair it makes with the word before it; `NO_PAIR` for the first of a title."""
    words = titles.values.astype(np.int64)
    keys = np.full(len(words), NO_PAIR)
    keys[1:] = words[:-1] << 32 | words[1:]
    starts = titles.offsets[:-1]
    keys[starts[starts < len(words)]] = NO_PAIR
    return keys


def find_pairs(titles: Ragged, vocabulary: int, most: int) -> NDArray[np.int64]:
    """The keys of the `most` frequent pairs of words below `vocabulary`, ascending; of equally frequent the lowest."""
    parts = 1 + len(titles.values) // PART
    found = []
    for part in range(parts):
        # Every key is in one part, whatever block of titles it stands in.
        blocks = [keys[keys % parts == part] for keys in _blocks(titles, vocabulary)]
        keys, counts = np.unique(np.concatenate([np.empty(0, np.int64), *blocks]), return_counts=True)
        frequent = np.argsort(-counts, kind="stable")[:most]
        found.append((keys[frequent], counts[frequent]))
    keys, counts = map(np.concatenate, zip(*found, strict=True))
    return np.sort(keys[np.lexsort((keys, -counts))[:most]])


def _blocks(titles: Ragged, vocabulary: int) -> Iterator[NDArray[np.int64]]:
    """The keys of some titles at a time, of known words alone."""
    for first in range(0, len(titles), BLOCK_ROWS):
        keys = pair_keys(titles.take(np.arange(first, min(first + BLOCK_ROWS, len(titles)))))
        known = (keys != NO_PAIR) & (keys >> 32 < vocabulary) & (keys & 0xFFFFFFFF < vocabulary)
        yield keys[known]
