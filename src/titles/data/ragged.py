"""Ragged arrays: rows of different lengths in two flat arrays, without padding or Python objects."""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from titles.data.npy_writer import NpyWriter


@dataclass(frozen=True)
class Ragged:
    """Row i is `values[offsets[i]:offsets[i + 1]]`; `values` is int32 [values], `offsets` int64 [rows + 1]."""

    values: NDArray[np.int32]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, rows: NDArray[np.integer]) -> "Ragged":
        """Copy the rows with the indices `rows`, in that order."""
        starts = self.offsets[rows]
        lengths = self.offsets[rows + 1] - starts
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        positions = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        return Ragged(self.values[positions], offsets)

    def slice(self, first: int, last: int) -> "Ragged":
        """The rows from `first` to `last`, exclusive, without a copy of their values."""
        start = self.offsets[first]
        return Ragged(self.values[start : self.offsets[last]], self.offsets[first : last + 1] - start)

    def save(self, folder: Path, name: str) -> None:
        """Write the files that `load` reads."""
        with RaggedWriter(folder, name) as files:
            files.append(self)

    @classmethod
    def load(cls, folder: Path, name: str) -> "Ragged":
        """Memory-map both arrays."""
        return cls(*(np.load(folder / f"{name}.{field}.npy", mmap_mode="r") for field in ("values", "offsets")))


class RaggedWriter:
    """Write the files that `Ragged.load` reads, some rows at a time."""

    def __init__(self, folder: Path, name: str) -> None:
        self.values = NpyWriter(folder / f"{name}.values.npy", np.int32)
        self.offsets = NpyWriter(folder / f"{name}.offsets.npy", np.int64)
        self.offsets.append(np.zeros(1, np.int64))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self.values, self.offsets:
            pass

    def append(self, rows: Ragged) -> None:
        """Append `rows` to both files."""
        self.offsets.append(self.values.length + rows.offsets[1:])
        self.values.append(rows.values)
