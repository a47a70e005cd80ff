"""A writer that appends to a .npy file."""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.lib.format import header_data_from_array_1_0, write_array_header_1_0
from numpy.typing import NDArray


class NpyWriter:
    """Write a one-dimensional array piece by piece, with the bytes that `np.save` would write.

    The file is written and not memory-mapped: on a full disk a write raises OSError, but a store to a memory map kills
    the process.
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
        # NumPy reserves space for any length in the header, so that it can be overwritten in place.
        empty = header_data_from_array_1_0(np.empty(0, self.dtype))
        write_array_header_1_0(self.file, empty | {"shape": (self.length,)})

    def append(self, values: NDArray[Any]) -> None:
        """Append `values` [length], converted to the dtype of the file."""
        self.file.write(np.ascontiguousarray(values, self.dtype).data)
        self.length += len(values)
