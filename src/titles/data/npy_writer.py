"""NumPy's files, written as their numbers come."""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.lib.format import header_data_from_array_1_0, write_array_header_1_0
from numpy.typing import NDArray


class NpyWriter:
    """A one-dimensional .npy file that grows at its end, with the bytes `np.save` would write.

    Written and not mapped: where the disk is full, a write fails and a touch of a map ends the process.
    """

    def __init__(self, path: Path, dtype: type[np.generic]) -> None:
        self.file = path.open("wb")
        self.dtype = np.dtype(dtype)
        self.length = 0
        self._write_header()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self.file:
            self.file.seek(0)
            self._write_header()

    def _write_header(self) -> None:
        # NumPy leaves room for any length, so that the header stays as long as it is.
        empty = header_data_from_array_1_0(np.empty(0, self.dtype))
        write_array_header_1_0(self.file, empty | {"shape": (self.length,)})

    def append(self, numbers: NDArray[Any]) -> None:
        self.file.write(np.ascontiguousarray(numbers, self.dtype).data)
        self.length += len(numbers)
