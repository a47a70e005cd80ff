"""Bigrams as int64 keys: the ids of two adjacent words, the first in the upper 32 bits, the second in the lower."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from titles.core.progress import Progress
from titles.data.ragged import Ragged

NO_BIGRAM = -1
# The number of keys that are sorted in memory at once, 8 bytes each.
FILE_KEYS = 16_000_000
BLOCK_ROWS = 500_000


def bigram_keys(titles: Ragged) -> NDArray[np.int64]:
    """The key of each word with the word before it, int64 [words]; `NO_BIGRAM` for the first word of a title."""
    words = titles.values.astype(np.int64)
    keys = np.full(len(words), NO_BIGRAM)
    keys[1:] = words[:-1] << 32 | words[1:]
    starts = titles.offsets[:-1]
    keys[starts[starts < len(words)]] = NO_BIGRAM
    return keys


def most_frequent_bigrams(titles: Ragged, vocabulary_size: int, max_bigrams: int, scratch: Path) -> NDArray[np.int64]:
    """The keys of the most frequent bigrams of two vocabulary words, ascending, int64 [at most `max_bigrams`].

    Among equally frequent bigrams the lowest keys are chosen. Memory is bounded: keys are partitioned by hash into
    files in the folder `scratch`, and each file is counted on its own.
    """
    num_files = 1 + len(titles.values) // FILE_KEYS
    paths = [scratch / f"bigrams.{index}" for index in range(num_files)]
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("wb")) for path in paths]
        for keys in _blocks(titles, vocabulary_size):
            partitions = (keys % num_files).astype(np.int16)
            ends = np.cumsum(np.bincount(partitions, minlength=num_files))
            by_partition = np.split(keys[np.argsort(partitions, kind="stable")], ends[:-1])
            for file, partition in zip(files, by_partition, strict=True):
                file.write(partition.data)
    candidates = []
    for path in paths:
        keys, counts = np.unique(np.fromfile(path, np.int64), return_counts=True)
        path.unlink()
        frequent = np.argsort(-counts, kind="stable")[:max_bigrams]
        candidates.append((keys[frequent], counts[frequent]))
    keys, counts = map(np.concatenate, zip(*candidates, strict=True))
    return np.sort(keys[np.lexsort((keys, -counts))[:max_bigrams]])


def _blocks(titles: Ragged, vocabulary_size: int) -> Iterator[NDArray[np.int64]]:
    """Yield the keys of the bigrams of vocabulary words, `BLOCK_ROWS` titles at a time."""
    with Progress(len(titles), "titles", "counting bigrams") as bar:
        for first in range(0, len(titles), BLOCK_ROWS):
            block = titles.slice(first, min(first + BLOCK_ROWS, len(titles)))
            keys = bigram_keys(block)
            in_vocabulary = (keys != NO_BIGRAM) & (keys >> 32 < vocabulary_size) & (keys & 0xFFFFFFFF < vocabulary_size)
            yield keys[in_vocabulary]
            bar.update(len(block))
