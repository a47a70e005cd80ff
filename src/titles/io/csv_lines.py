"""Read a CSV file in blocks of some MB and split these into lines."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import IO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from titles.io.records import READ_ERRORS

CHUNK_BYTES, BLOCK_BYTES = 1 << 18, 1 << 23
LINE_FEED, CARRIAGE_RETURN = b"\n\r"


def read_blocks(stream: IO[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield blocks of about `BLOCK_BYTES` and whether each is the last.

    If the stream is damaged, yield the bytes before the damage, then raise the error of the stream.
    """
    pieces: list[bytes] = []
    try:
        while piece := stream.read(CHUNK_BYTES):
            pieces.append(piece)
            if len(pieces) * CHUNK_BYTES >= BLOCK_BYTES:
                yield b"".join(pieces), False
                pieces = []
    except READ_ERRORS:
        yield b"".join(pieces), False
        raise
    yield b"".join(pieces), True


@dataclass(frozen=True)
class Lines:
    """Lines including their line endings, split at the line endings of Python's text files.

    `starts` holds the offsets of the lines in `text`, int64 [lines + 1].
    """

    text: bytes
    starts: NDArray[np.int64]
    first_line_number: int

    def __len__(self) -> int:
        return len(self.starts) - 1

    @classmethod
    def from_bytes(cls, text: bytes, first_line_number: int, is_last: bool) -> "Lines":
        """Split `text` into its complete lines. If `is_last`, the rest after the last line ending is a line too."""
        characters = np.frombuffer(text, np.uint8)
        ends = characters == LINE_FEED
        if b"\r" in text:
            ends[:-1] |= (characters[:-1] == CARRIAGE_RETURN) & ~ends[1:]
        if is_last and len(text):
            ends[-1] = True
        return cls(text, np.concatenate([[0], np.flatnonzero(ends) + 1]), first_line_number)

    def decode_from(self, index: int) -> Iterator[str]:
        """Decode the lines from `index` on; invalid UTF-8 becomes lone surrogates."""
        for start, end in pairwise(self.starts[index:]):
            yield self.text[start:end].decode(errors="surrogateescape")

    def to_arrow(self) -> pa.Array:
        return pa.Array.from_buffers(
            pa.large_binary(), len(self), [None, pa.py_buffer(self.starts), pa.py_buffer(self.text)]
        )
