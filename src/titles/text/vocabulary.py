"""Word ids, and the subword ids of a word: its hashed character n-grams, as in fastText.

Source: Bojanowski et al. (2017), Enriching Word Vectors with Subword Information.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from titles.data.ragged import Ragged
from titles.text.normalization import MAX_WORDS

FNV_BASIS = np.uint32(2166136261)
FNV_PRIME = np.uint32(16777619)


def split_words(cleaned: pa.Array) -> pa.ListArray:
    """Return the first `MAX_WORDS` words of each cleaned title; none for an empty title."""
    words = pc.list_slice(pc.split_pattern(cleaned, " "), 0, MAX_WORDS)
    empty = pc.equal(cleaned, "")
    return pc.if_else(empty, pa.scalar([], words.type), words)


def lookup_word_ids(titles: pa.ListArray, words: pa.Array) -> Ragged:
    """Return the index in `words` of each word of each title. Raise pyarrow.ArrowInvalid if one is missing."""
    word_ids = pc.index_in(titles.flatten(), value_set=words)
    lengths = pc.list_value_length(titles).to_numpy(zero_copy_only=False)
    return Ragged(word_ids.to_numpy().astype(np.int32), np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]))


def hash_ngrams(words: Sequence[str], lengths: Sequence[int], buckets: int) -> Ragged:
    """Hash the character n-grams of each word, for n in `lengths`, to `buckets` ids.

    Each row holds the bucket ids of the n-grams of `<word>`, in the order of `lengths`. The 4-grams of `casa` are
    `<cas`, `casa` and `asa>`; `a` has none.
    """
    letters = np.frombuffer("".join(f"<{word}>" for word in words).encode("ascii"), np.uint8)
    sizes = np.fromiter((len(word) + 2 for word in words), np.int64, len(words))
    ends = np.repeat(np.cumsum(sizes), sizes)
    word_of_letter = np.repeat(np.arange(len(words)), sizes)
    starts = [np.flatnonzero(np.arange(len(letters)) + length <= ends) for length in lengths]
    hashes = [
        _fnv1a(letters, start, length) % np.uint32(buckets) for start, length in zip(starts, lengths, strict=True)
    ]
    rows = np.concatenate([np.empty(0, np.int64), *(word_of_letter[start] for start in starts)])
    subword_ids = np.concatenate([np.empty(0, np.uint32), *hashes]).astype(np.int32)
    counts = np.bincount(rows, minlength=len(words))
    return Ragged(subword_ids[np.argsort(rows, kind="stable")], np.concatenate([[0], np.cumsum(counts)]))


def _fnv1a(letters: NDArray[np.uint8], starts: NDArray[np.int64], length: int) -> NDArray[np.uint32]:
    """Return the 32-bit FNV-1a hash of `letters[start:start + length]` for each start."""
    hashes = np.full(len(starts), FNV_BASIS)
    for position in range(length):
        hashes = (hashes ^ letters[starts + position]) * FNV_PRIME
    return hashes
