"""The words of titles as they were written, many titles at once: what `split_words` makes of `clean`.

The letters of all titles lie in one array of bytes, and each step is one look-up or comparison of that whole array.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from titles.text.html_entities import unescaped
from titles.text.normalization import FOLDED, MOST_WORDS, ONTO, clean

SEPARATOR, DELETED = ord(" "), 0
# In UTF-8 code points below the first of these take one byte, below the second at most three.
ONE_BYTE, THREE_BYTES = 0x80, 0x10000
# The first byte of a code point of two bytes is at least the first of these, and so on.
BEGINS_TWO, BEGINS_THREE, BEGINS_FOUR = 0xC0, 0xE0, 0xF0


def _table() -> NDArray[np.uint8]:
    """What each code point below `THREE_BYTES` becomes; all above separate words."""
    table = np.full(THREE_BYTES, SEPARATOR, np.uint8)
    for letter in map(chr, range(ONE_BYTE)):
        table[ord(letter)] = ord(clean(letter) or " ")
    table[[ord(letter) for letter in FOLDED]] = DELETED
    table[[ord(letter) for letter in FOLDED[: len(ONTO)]]] = np.frombuffer(ONTO.lower().encode(), np.uint8)
    return table


OF_CODE_POINT = _table()
# What begins a longer code point separates; what goes on with one is no letter of its own.
OF_BYTE = np.concatenate(
    [OF_CODE_POINT[:ONE_BYTE], np.full(0x40, DELETED, np.uint8), np.full(0x40, SEPARATOR, np.uint8)]
)


def words_of(titles: pa.StringArray) -> pa.ListArray:
    """The first `MOST_WORDS` words of each title; none for a title without a Latin letter or digit."""
    titles = unescaped(titles)
    offsets = np.frombuffer(titles.buffers()[1], np.int32)[titles.offset :][: len(titles) + 1].astype(np.int64)
    written = np.frombuffer(titles.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
    letters, offsets = _letters(written, offsets - offsets[0])
    is_letter = letters != SEPARATOR
    # One more at either end, so that every letter has neighbours; a title's first letter has none before it.
    before, after = np.append(False, is_letter), np.append(is_letter, False)
    before[offsets] = False
    after[offsets] = False
    starts, ends = np.flatnonzero(is_letter & ~before[:-1]), np.flatnonzero(is_letter & ~after[1:])
    places = np.append(0, np.cumsum(ends + 1 - starts)).astype(np.int32)
    buffers = [None, pa.py_buffer(places), pa.py_buffer(letters[is_letter])]
    words = pa.Array.from_buffers(pa.string(), len(starts), buffers)
    return _first_words(words, np.searchsorted(starts, offsets))


def _letters(written: NDArray[np.uint8], offsets: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Lower-case ASCII letters, digits and separators, and where each title's begin."""
    letters = OF_BYTE[written]
    firsts = np.flatnonzero(written >= BEGINS_TWO)
    if not len(firsts):
        return letters, offsets
    pairs = firsts[written[firsts] < BEGINS_THREE]
    letters[pairs] = OF_CODE_POINT[_payload(written, pairs, 0x1F) << 6 | _payload(written, pairs + 1, 0x3F)]
    triples = firsts[(written[firsts] >= BEGINS_THREE) & (written[firsts] < BEGINS_FOUR)]
    letters[triples] = OF_CODE_POINT[
        _payload(written, triples, 0x0F) << 12
        | _payload(written, triples + 1, 0x3F) << 6
        | _payload(written, triples + 2, 0x3F)
    ]
    kept = letters != DELETED
    return letters[kept], np.append(0, np.cumsum(kept))[offsets]


def _payload(written: NDArray[np.uint8], places: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """The bits of a code point that the bytes at `places` carry."""
    return written[places].astype(np.int64) & bits


def _first_words(words: pa.StringArray, offsets: NDArray[np.int64]) -> pa.ListArray:
    lengths = np.diff(offsets)
    if lengths.max(initial=0) > MOST_WORDS:
        place = np.arange(len(words)) - np.repeat(offsets[:-1], lengths)
        words = words.filter(pa.array(place < MOST_WORDS))
        offsets = np.append(0, np.cumsum(lengths.clip(max=MOST_WORDS)))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), words)
