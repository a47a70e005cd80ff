"""The words of titles as they were written, many titles at once: what `split_words` makes of `clean`.

The letters of all titles lie in one array of bytes, and each step is one look-up or comparison of that whole array.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from titles.text.html_entities import unescape_titles
from titles.text.normalization import MAX_WORDS, TRANSLATE_FROM, TRANSLATE_TO, clean

SEPARATOR, DELETED = ord(" "), 0
# In UTF-8 code points below the first of these take one byte, below the second at most three.
ONE_BYTE_LIMIT, THREE_BYTE_LIMIT = 0x80, 0x10000
# The first byte of a code point of two bytes is at least the first of these, and so on.
TWO_BYTE_LEAD, THREE_BYTE_LEAD, FOUR_BYTE_LEAD = 0xC0, 0xE0, 0xF0


def _code_point_table() -> NDArray[np.uint8]:
    """What each code point below `THREE_BYTES` becomes; all above separate words."""
    table = np.full(THREE_BYTE_LIMIT, SEPARATOR, np.uint8)
    for letter in map(chr, range(ONE_BYTE_LIMIT)):
        table[ord(letter)] = ord(clean(letter) or " ")
    table[[ord(letter) for letter in TRANSLATE_FROM]] = DELETED
    table[[ord(letter) for letter in TRANSLATE_FROM[: len(TRANSLATE_TO)]]] = np.frombuffer(
        TRANSLATE_TO.lower().encode(), np.uint8
    )
    return table


CODE_POINT_TABLE = _code_point_table()
# What begins a longer code point separates; what goes on with one is no letter of its own.
BYTE_TABLE = np.concatenate(
    [CODE_POINT_TABLE[:ONE_BYTE_LIMIT], np.full(0x40, DELETED, np.uint8), np.full(0x40, SEPARATOR, np.uint8)]
)


def tokenize(titles: pa.StringArray) -> pa.ListArray:
    """The first `MOST_WORDS` words of each title; none for a title without a Latin letter or digit."""
    titles = unescape_titles(titles)
    offsets = np.frombuffer(titles.buffers()[1], np.int32)[titles.offset :][: len(titles) + 1].astype(np.int64)
    written = np.frombuffer(titles.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
    letters, offsets = _normalize_bytes(written, offsets - offsets[0])
    is_letter = letters != SEPARATOR
    # One more at either end, so that every letter has neighbours; a title's first letter has none before it.
    before, after = np.append(False, is_letter), np.append(is_letter, False)
    before[offsets] = False
    after[offsets] = False
    starts, ends = np.flatnonzero(is_letter & ~before[:-1]), np.flatnonzero(is_letter & ~after[1:])
    places = np.append(0, np.cumsum(ends + 1 - starts)).astype(np.int32)
    buffers = [None, pa.py_buffer(places), pa.py_buffer(letters[is_letter])]
    words = pa.Array.from_buffers(pa.string(), len(starts), buffers)
    return _truncate(words, np.searchsorted(starts, offsets))


def _normalize_bytes(
    utf8: NDArray[np.uint8], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Lower-case ASCII letters, digits and separators, and where each title's begin."""
    letters = BYTE_TABLE[utf8]
    firsts = np.flatnonzero(utf8 >= TWO_BYTE_LEAD)
    if not len(firsts):
        return letters, offsets
    pairs = firsts[utf8[firsts] < THREE_BYTE_LEAD]
    letters[pairs] = CODE_POINT_TABLE[_payload(utf8, pairs, 0x1F) << 6 | _payload(utf8, pairs + 1, 0x3F)]
    triples = firsts[(utf8[firsts] >= THREE_BYTE_LEAD) & (utf8[firsts] < FOUR_BYTE_LEAD)]
    letters[triples] = CODE_POINT_TABLE[
        _payload(utf8, triples, 0x0F) << 12 | _payload(utf8, triples + 1, 0x3F) << 6 | _payload(utf8, triples + 2, 0x3F)
    ]
    kept = letters != DELETED
    return letters[kept], np.append(0, np.cumsum(kept))[offsets]


def _payload(utf8: NDArray[np.uint8], positions: NDArray[np.int64], mask: int) -> NDArray[np.int64]:
    """The bits of a code point that the bytes at `places` carry."""
    return utf8[positions].astype(np.int64) & mask


def _truncate(words: pa.StringArray, offsets: NDArray[np.int64]) -> pa.ListArray:
    lengths = np.diff(offsets)
    if lengths.max(initial=0) > MAX_WORDS:
        place = np.arange(len(words)) - np.repeat(offsets[:-1], lengths)
        words = words.filter(pa.array(place < MAX_WORDS))
        offsets = np.append(0, np.cumsum(lengths.clip(max=MAX_WORDS)))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), words)
