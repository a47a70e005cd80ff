"""Numbers in bags, as sums of looked-up rows need them on their way forward and back."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class CSRBags:
    """Which numbers each bag holds, and which bags hold each number.

    numbers    int64 [numbers], those of bag i from `offsets[i]` to `offsets[i + 1]`
    offsets    int64 [bags + 1]
    rows       int64 [distinct numbers], ascending
    places     int64 [numbers], where in `rows` each is
    bags       int64 [numbers], those that hold row i from `starts[i]` to `starts[i + 1]`
    starts     int64 [distinct numbers + 1]
    """

    indices: Tensor
    offsets: Tensor
    rows: Tensor
    inverse: Tensor
    row_bags: Tensor
    row_offsets: Tensor

    @classmethod
    def from_offsets(cls, indices: NDArray[np.integer], offsets: NDArray[np.int64]) -> "CSRBags":
        # A number and its place sorted as one, which takes a quarter of the time of sorting both.
        keys = np.sort(indices.astype(np.int64) << 32 | np.arange(len(indices)))
        ascending, order = keys >> 32, keys & 0xFFFFFFFF
        starts = np.flatnonzero(np.diff(ascending, prepend=-1, append=1 << 32))
        rows = ascending[starts[:-1]]
        places = np.empty_like(order)
        places[order] = np.repeat(np.arange(len(rows)), np.diff(starts))
        bags = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))[order]
        return cls(*map(torch.from_numpy, (indices.astype(np.int64), offsets, rows, places, bags, starts)))

    @property
    def lengths(self) -> Tensor:
        """Of each bag, int64 [bags]."""
        return self.offsets.diff()

    def sums(self, table: Tensor) -> Tensor:
        """Of the rows of a table that each bag holds, [bags, dimension]."""
        return _sum_rows(table, self.indices, self.offsets)

    def sums_by_row(self, bag_values: Tensor) -> Tensor:
        """For each distinct number, of `of_bags` [bags, dimension] of the bags that hold it."""
        return _sum_rows(bag_values, self.row_bags, self.row_offsets)


def _sum_rows(rows: Tensor, indices: Tensor, offsets: Tensor) -> Tensor:
    return F.embedding_bag(indices, rows, offsets, mode="sum", include_last_offset=True)
