"""The vectorized tokenizer: raw titles to words, equal to `split_words` of the `clean` titles.

The bytes of all titles are one NumPy array, and each step is one table look-up or comparison on that array.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from titles.text.html_entities import unescape_titles
from titles.text.normalization import MAX_WORDS, TRANSLATE_FROM, TRANSLATE_TO, clean

SEPARATOR, DELETED = ord(" "), 0
# UTF-8 encodes code points below the first limit in one byte, and those below the second in at most three.
ONE_BYTE_LIMIT, THREE_BYTE_LIMIT = 0x80, 0x10000
# The lowest first byte of a code point of two, three and four bytes.
TWO_BYTE_LEAD, THREE_BYTE_LEAD, FOUR_BYTE_LEAD = 0xC0, 0xE0, 0xF0


def _code_point_table() -> NDArray[np.uint8]:
    """Build the table from code points below `THREE_BYTE_LIMIT` to ASCII bytes. All above it are separators."""
    table = np.full(THREE_BYTE_LIMIT, SEPARATOR, np.uint8)
    for letter in map(chr, range(ONE_BYTE_LIMIT)):
        table[ord(letter)] = ord(clean(letter) or " ")
    table[[ord(letter) for letter in TRANSLATE_FROM]] = DELETED
    table[[ord(letter) for letter in TRANSLATE_FROM[: len(TRANSLATE_TO)]]] = np.frombuffer(
        TRANSLATE_TO.lower().encode(), np.uint8
    )
    return table


CODE_POINT_TABLE = _code_point_table()
# The lead byte of a longer code point becomes a separator, and its other bytes are deleted. `_normalize_bytes` then
# looks up code points of two and three bytes, and overwrites their lead byte.
BYTE_TABLE = np.concatenate(
    [CODE_POINT_TABLE[:ONE_BYTE_LIMIT], np.full(0x40, DELETED, np.uint8), np.full(0x40, SEPARATOR, np.uint8)]
)


def tokenize(titles: pa.StringArray) -> pa.ListArray:
    """Return the first `MAX_WORDS` words of each title; none for a title without Latin letters and digits."""
    titles = unescape_titles(titles)
    offsets = np.frombuffer(titles.buffers()[1], np.int32)[titles.offset :][: len(titles) + 1].astype(np.int64)
    utf8 = np.frombuffer(titles.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
    letters, offsets = _normalize_bytes(utf8, offsets - offsets[0])
    is_letter = letters != SEPARATOR
    # Padded by one, so that every letter has both neighbours. Words end where titles do.
    before, after = np.append(False, is_letter), np.append(is_letter, False)
    before[offsets] = False
    after[offsets] = False
    starts, ends = np.flatnonzero(is_letter & ~before[:-1]), np.flatnonzero(is_letter & ~after[1:])
    word_offsets = np.append(0, np.cumsum(ends + 1 - starts)).astype(np.int32)
    buffers = [None, pa.py_buffer(word_offsets), pa.py_buffer(letters[is_letter])]
    words = pa.Array.from_buffers(pa.string(), len(starts), buffers)
    return _truncate(words, np.searchsorted(starts, offsets))


def _normalize_bytes(
    utf8: NDArray[np.uint8], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Convert UTF-8 to lower-case ASCII letters, digits and separators; return them and the offsets of the titles."""
    letters = BYTE_TABLE[utf8]
    leads = np.flatnonzero(utf8 >= TWO_BYTE_LEAD)
    if not len(leads):
        return letters, offsets
    two = leads[utf8[leads] < THREE_BYTE_LEAD]
    letters[two] = CODE_POINT_TABLE[_payload(utf8, two, 0x1F) << 6 | _payload(utf8, two + 1, 0x3F)]
    three = leads[(utf8[leads] >= THREE_BYTE_LEAD) & (utf8[leads] < FOUR_BYTE_LEAD)]
    letters[three] = CODE_POINT_TABLE[
        _payload(utf8, three, 0x0F) << 12 | _payload(utf8, three + 1, 0x3F) << 6 | _payload(utf8, three + 2, 0x3F)
    ]
    remains = letters != DELETED
    return letters[remains], np.append(0, np.cumsum(remains))[offsets]


def _payload(utf8: NDArray[np.uint8], positions: NDArray[np.int64], mask: int) -> NDArray[np.int64]:
    """Return the bits of a code point in the bytes at `positions`."""
    return utf8[positions].astype(np.int64) & mask


def _truncate(words: pa.StringArray, offsets: NDArray[np.int64]) -> pa.ListArray:
    lengths = np.diff(offsets)
    if lengths.max(initial=0) > MAX_WORDS:
        position = np.arange(len(words)) - np.repeat(offsets[:-1], lengths)
        words = words.filter(pa.array(position < MAX_WORDS))
        offsets = np.append(0, np.cumsum(lengths.clip(max=MAX_WORDS)))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), words)
