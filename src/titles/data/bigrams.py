"""Pairs of words that follow one another, as keys: one number made of the numbers of both words."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from titles.core.progress import Progress
from titles.data.ragged import Ragged

NO_BIGRAM = -1
# Keys that are sorted at a time, 8 bytes each.
FILE_KEYS = 16_000_000
BLOCK_ROWS = 500_000


def bigram_keys(titles: Ragged) -> NDArray[np.int64]:
    """For every word the key of the pair it makes with the word before it; `NO_PAIR` for the first of a title."""
    words = titles.values.astype(np.int64)
    keys = np.full(len(words), NO_BIGRAM)
    keys[1:] = words[:-1] << 32 | words[1:]
    starts = titles.offsets[:-1]
    keys[starts[starts < len(words)]] = NO_BIGRAM
    return keys


def most_frequent_bigrams(titles: Ragged, vocabulary_size: int, max_bigrams: int, scratch: Path) -> NDArray[np.int64]:
    """The keys of the `most` frequent pairs of words below `vocabulary`, ascending; of equally frequent the lowest.

    All keys go to files in the folder `scratch`, so many that a file is counted in memory, and each key to one file.
    """
    num_files = 1 + len(titles.values) // FILE_KEYS
    paths = [scratch / f"pairs.{number}" for number in range(num_files)]
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("wb")) for path in paths]
        for keys in _blocks(titles, vocabulary_size):
            places = (keys % num_files).astype(np.int16)
            ends = np.cumsum(np.bincount(places, minlength=num_files))
            for file, part in zip(files, np.split(keys[np.argsort(places, kind="stable")], ends[:-1]), strict=True):
                file.write(part.data)
    found = []
    for path in paths:
        keys, counts = np.unique(np.fromfile(path, np.int64), return_counts=True)
        path.unlink()
        frequent = np.argsort(-counts, kind="stable")[:max_bigrams]
        found.append((keys[frequent], counts[frequent]))
    keys, counts = map(np.concatenate, zip(*found, strict=True))
    return np.sort(keys[np.lexsort((keys, -counts))[:max_bigrams]])


def _blocks(titles: Ragged, vocabulary_size: int) -> Iterator[NDArray[np.int64]]:
    """The keys of some titles at a time, of known words alone."""
    with Progress(len(titles), "titles", "counting pairs of words") as bar:
        for first in range(0, len(titles), BLOCK_ROWS):
            block = titles.slice(first, min(first + BLOCK_ROWS, len(titles)))
            keys = bigram_keys(block)
            known = (keys != NO_BIGRAM) & (keys >> 32 < vocabulary_size) & (keys & 0xFFFFFFFF < vocabulary_size)
            yield keys[known]
            bar.update(len(block))
