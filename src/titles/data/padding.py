"""Bags and windows padded to the same shapes in every batch, as a GPU takes them.

Operations on the same shapes are a CUDA graph, which a GPU does at one request. Padding belongs to a bag, a row or a
title more than there are, which is left out of what is looked up.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# Stands for a row that no table has, after all others.
PADDING = 1 << 32
# Of the padding so many windows are in a bag, as a GPU goes through a bag window by window.
PADDING_WINDOWS = 32


def _segment_sum(rows: Tensor, segment_ids: Tensor, num_segments: int) -> Tensor:
    """The sum of the rows of each owner below `count`."""
    return rows.new_zeros(num_segments + 1, rows.shape[1]).index_add_(0, segment_ids, rows)[:num_segments]


@dataclass(frozen=True)
class PaddedBags:
    """As `Bags`, but for the sums in whatever order a GPU comes to them.

    numbers    int64 [numbers], then zeros
    owners     int64 [numbers], the bag of each, then the number of bags
    lengths    int64 [bags]
    rows       int64 [distinct numbers], ascending, then `PADDING`
    places     int64 [numbers], where in `rows` each is, then the number of rows
    """

    indices: Tensor
    bag_ids: Tensor
    lengths: Tensor
    rows: Tensor
    inverse: Tensor

    def sums(self, table: Tensor) -> Tensor:
        """See `Bags`."""
        return _segment_sum(table[self.indices], self.bag_ids, len(self.lengths))

    def sums_by_row(self, bag_values: Tensor) -> Tensor:
        """See `Bags`."""
        return _segment_sum(F.pad(bag_values, (0, 0, 0, 1))[self.bag_ids], self.inverse, len(self.rows))


@dataclass(frozen=True)
class PaddedWindows:
    """As `Windows`.

    words      int64 [windows, width], then windows without words
    of_words   int64 [width, words], the windows of each word, then any
    places     int64 [words], which distinct word each is, then the number of these
    rows       how many distinct words there are, padding included
    titles     int64 [windows], the title of each, then the number of titles
    offsets    int64 [titles + 1 + …], as those of `Windows`, then those of the padding
    count      how many titles there are
    """

    words: Tensor
    word_windows: Tensor
    inverse: Tensor
    num_rows: int
    titles: Tensor
    offsets: Tensor
    num_titles: int

    def sums_by_word(self, gradient: Tensor, position: int) -> Tensor:
        """See `Windows`."""
        return _segment_sum(gradient[self.word_windows[position]], self.inverse, self.num_rows)


def padded_offsets(lengths: Tensor, size: int) -> Tensor:
    """Of titles with so many windows [batches, titles] the `offsets` of each batch, padded to `size` windows."""
    ends = F.pad(lengths.cumsum(1), (1, 0))
    more = PADDING_WINDOWS * torch.arange(1, size // PADDING_WINDOWS + 2, device=lengths.device)
    return torch.cat([ends, (ends[:, -1:] + more).clamp(max=size)], 1)
