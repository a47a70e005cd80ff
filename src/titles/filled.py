"""Bags and windows whose arrays have the same length in every batch, as a GPU takes them.

A GPU that is asked for the same operations on the same shapes can be asked for all of a step at once. What fills the
arrays up belongs to a bag, a row or a title more, which is left out of what they say.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# Stands for a row that no table has, after all others.
FILLING = 1 << 32
# Of the windows that fill up so many are in a bag: a GPU goes through a bag window by window.
FILLING_WINDOWS = 32


def _summed(rows: Tensor, owners: Tensor, count: int) -> Tensor:
    """The sum of the rows of each owner below `count`."""
    return rows.new_zeros(count + 1, rows.shape[1]).index_add_(0, owners, rows)[:count]


@dataclass(frozen=True)
class FilledBags:
    """As `Bags`, but for the sums in whatever order a GPU comes to them.

    numbers    int64 [numbers], then zeros
    owners     int64 [numbers], the bag of each, then the number of bags
    lengths    int64 [bags]
    rows       int64 [distinct numbers], ascending, then `FILLING`
    places     int64 [numbers], where in `rows` each is, then the number of rows
    """

    numbers: Tensor
    owners: Tensor
    lengths: Tensor
    rows: Tensor
    places: Tensor

    def sums(self, table: Tensor) -> Tensor:
        """See `Bags`."""
        return _summed(table[self.numbers], self.owners, len(self.lengths))

    def sums_of_distinct(self, vectors: Tensor) -> Tensor:
        """See `Bags`."""
        return _summed(vectors[self.places.clamp(max=len(vectors) - 1)], self.owners, len(self.lengths))

    def sums_by_row(self, of_bags: Tensor) -> Tensor:
        """See `Bags`."""
        return _summed(F.pad(of_bags, (0, 0, 0, 1))[self.owners], self.places, len(self.rows))


@dataclass(frozen=True)
class FilledWindows:
    """As `Windows`.

    words      int64 [windows, width], then such as no word stands in
    of_words   int64 [width, words], the windows of each word, then any
    places     int64 [words], which distinct word each is, then the number of these
    rows       how many distinct words there are, those that fill included
    titles     int64 [windows], the title of each, then the number of titles
    offsets    int64 [titles + 1 + …], as those of `Windows`, then those of the windows that fill
    count      how many titles there are
    """

    words: Tensor
    of_words: Tensor
    places: Tensor
    rows: int
    titles: Tensor
    offsets: Tensor
    count: int

    def sums_by_word(self, gradient: Tensor, place: int) -> Tensor:
        """See `Windows`."""
        return _summed(gradient[self.of_words[place]], self.places, self.rows)


def filled_offsets(lengths: Tensor, room: int) -> Tensor:
    """Of titles with so many windows [batches, titles] the `offsets` of each batch, up to `room` windows."""
    ends = F.pad(lengths.cumsum(1), (1, 0))
    more = FILLING_WINDOWS * torch.arange(1, room // FILLING_WINDOWS + 2, device=lengths.device)
    return torch.cat([ends, (ends[:, -1:] + more).clamp(max=room)], 1)
