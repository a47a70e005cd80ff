"""HTML's character references in many titles at once."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from titles.text.normalization import unescape


def unescape_titles(titles: pa.StringArray) -> pa.StringArray:
    """`unescape` of each title; null stays null. The very array where no title has a reference."""
    has_ampersand = pa.array(_contains_ampersand(titles))
    if not has_ampersand.true_count:
        return titles
    before = titles.filter(has_ampersand).to_pylist()
    after = [title and unescape(title) for title in before]
    if before == after:
        return titles
    return pc.replace_with_mask(titles, has_ampersand, pa.array(after, titles.type))


def _contains_ampersand(titles: pa.StringArray) -> NDArray[np.bool]:
    """Which titles have an `&`; looking for it in all bytes at once takes a tenth of the time of Arrow's search."""
    has_ampersand = np.zeros(len(titles), bool)
    if len(titles):
        offsets = np.frombuffer(titles.buffers()[1], np.int32)[titles.offset :][: len(titles) + 1]
        letters = np.frombuffer(titles.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
        places = np.flatnonzero(letters == ord("&")) + offsets[0]
        has_ampersand[np.searchsorted(offsets, places, side="right") - 1] = True
    return has_ampersand
