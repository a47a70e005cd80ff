"""The lines of a CSV file, some MB of them at a time."""

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
    """The bytes of the stream, some MB at a time, and whether they are the last. What stands before a damage comes."""
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
    """Lines with their ends, as Python's text files tell them apart; `starts` is [lines + 1], `first` a number."""

    text: bytes
    starts: NDArray[np.int64]
    first_line_number: int

    def __len__(self) -> int:
        return len(self.starts) - 1

    @classmethod
    def from_bytes(cls, text: bytes, first_line_number: int, is_last: bool) -> "Lines":
        """The whole lines of `text`, and the rest of it too where nothing follows."""
        letters = np.frombuffer(text, np.uint8)
        ends = letters == LINE_FEED
        if b"\r" in text:
            ends[:-1] |= (letters[:-1] == CARRIAGE_RETURN) & ~ends[1:]
        if is_last and len(text):
            ends[-1] = True
        return cls(text, np.concatenate([[0], np.flatnonzero(ends) + 1]), first_line_number)

    def decode_from(self, index: int) -> Iterator[str]:
        """The lines from `place` on."""
        for start, end in pairwise(self.starts[index:]):
            yield self.text[start:end].decode(errors="surrogateescape")

    def to_arrow(self) -> pa.Array:
        return pa.Array.from_buffers(
            pa.large_binary(), len(self), [None, pa.py_buffer(self.starts), pa.py_buffer(self.text)]
        )
