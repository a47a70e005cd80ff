"""Rows of different lengths in two flat arrays, so that millions of titles need no padding and no Python objects."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray


@dataclass(frozen=True)
class Ragged:
    """Row i is `values[offsets[i]:offsets[i + 1]]`; values are int32 [numbers], offsets int64 [rows + 1]."""

    values: NDArray[np.int32]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, rows: NDArray[np.integer]) -> "Ragged":
        """The rows with these numbers, in this order."""
        starts = self.offsets[rows]
        lengths = self.offsets[rows + 1] - starts
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        places = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        return Ragged(self.values[places], offsets)

    def followed_by(self, other: "Ragged") -> "Ragged":
        """These rows, then the other's."""
        offsets = np.concatenate([self.offsets, self.offsets[-1] + other.offsets[1:]])
        return Ragged(np.concatenate([self.values, other.values]), offsets)

    def save(self, folder: Path, name: str) -> None:
        saved = Ragged.create(folder, name, len(self), len(self.values))
        saved.values[:], saved.offsets[:] = self.values, self.offsets

    @classmethod
    def create(cls, folder: Path, name: str, rows: int, numbers: int) -> "Ragged":
        """Memory-mapped files for that many rows and numbers in all, to be filled by the caller."""
        return cls(
            open_memmap(folder / f"{name}.values.npy", "w+", np.dtype(np.int32), (numbers,)),
            open_memmap(folder / f"{name}.offsets.npy", "w+", np.dtype(np.int64), (rows + 1,)),
        )

    @classmethod
    def load(cls, folder: Path, name: str) -> "Ragged":
        """The rows as memory maps: pages are read when touched."""
        return cls(*(np.load(folder / f"{name}.{part}.npy", mmap_mode="r") for part in ("values", "offsets")))
