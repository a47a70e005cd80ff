"""Bags and windows padded to the same shapes in every batch, for CUDA graphs.

A CUDA graph replays a step with one launch, but only on tensors of the shapes it was captured with. Padding belongs to
one additional bag, row or title after all others, which is cut off the result.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# The index of a padding row: higher than that of any row of a table.
PADDING = 1 << 32
# Padding windows in a bag: a GPU sums the windows of a bag one after another, so that one long bag would be slow.
PADDING_WINDOWS = 32


def _segment_sum(rows: Tensor, segment_ids: Tensor, num_segments: int) -> Tensor:
    """Sum the rows of each segment below `num_segments`."""
    return rows.new_zeros(num_segments + 1, rows.shape[1]).index_add_(0, segment_ids, rows)[:num_segments]


@dataclass(frozen=True)
class PaddedBags:
    """`CSRBags` with padding; a GPU sums in no fixed order.

    indices   int64 [indices], then zeros
    bag_ids   int64 [indices], the bag of each index, then the number of bags
    lengths   int64 [bags], the number of indices in each bag
    rows      int64 [distinct indices], ascending, then `PADDING`
    inverse   int64 [indices], the position of each index in `rows`, then the number of rows
    """

    indices: Tensor
    bag_ids: Tensor
    lengths: Tensor
    rows: Tensor
    inverse: Tensor

    def sums(self, table: Tensor) -> Tensor:
        """See `CSRBags.sums`."""
        return _segment_sum(table[self.indices], self.bag_ids, len(self.lengths))

    def sums_by_row(self, bag_values: Tensor) -> Tensor:
        """See `CSRBags.sums_by_row`."""
        return _segment_sum(F.pad(bag_values, (0, 0, 0, 1))[self.bag_ids], self.inverse, len(self.rows))


@dataclass(frozen=True)
class PaddedWindows:
    """`Windows` with padding.

    words          int64 [windows, kernel_size], as in `Windows`, then windows without words
    word_windows   int64 [kernel_size, words], the windows of each word in the order of the titles, then zeros
    inverse        int64 [words], the index of the distinct word of each word, then `num_rows`
    num_rows       the number of distinct words, padding included
    titles         int64 [windows], the index of the title of each window, then the number of titles
    offsets        int64 [titles + 1 + …], as in `Windows`, then the offsets of the padding
    num_titles     the number of titles
    """

    words: Tensor
    word_windows: Tensor
    inverse: Tensor
    num_rows: int
    titles: Tensor
    offsets: Tensor
    num_titles: int

    def sums_by_word(self, gradient: Tensor, position: int) -> Tensor:
        """See `Windows.sums_by_word`."""
        return _segment_sum(gradient[self.word_windows[position]], self.inverse, self.num_rows)


def padded_offsets(lengths: Tensor, size: int) -> Tensor:
    """The `PaddedWindows.offsets` of each batch, padded to `size` windows, [batches, offsets].

    `lengths` [batches, titles] is the number of windows of each title.
    """
    ends = F.pad(lengths.cumsum(1), (1, 0))
    padding = PADDING_WINDOWS * torch.arange(1, size // PADDING_WINDOWS + 2, device=lengths.device)
    return torch.cat([ends, (ends[:, -1:] + padding).clamp(max=size)], 1)
