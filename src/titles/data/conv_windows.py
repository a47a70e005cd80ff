"""Where the words of a batch stand in the windows that filters look at."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from titles.data.csr_bags import CSRBags


@dataclass(frozen=True)
class Windows:
    """All windows of some number of places in which a word of a title stands, title after title.

    words      int64 [windows, width], which distinct word stands at each place; the number of all where none does
    of_words   int64 [width, words], for each place the windows in which words stand there, in the order of `bags.bags`
    starts     int64 [distinct words + 1], from where on in that order each distinct word is
    titles     int64 [windows], the title of each
    offsets    int64 [titles + 1], the windows of title i are those from `offsets[i]` to `offsets[i + 1]`
    """

    words: Tensor
    word_windows: Tensor
    word_offsets: Tensor
    titles: Tensor
    offsets: Tensor

    @classmethod
    def from_bags(cls, kernel_size: int, bags: CSRBags, title_offsets: NDArray[np.int64]) -> Self:
        """Of titles whose words, each in a bag of its own, are those from `titles[i]` to `titles[i + 1]`."""
        lengths = np.diff(title_offsets)
        counts = np.where(lengths, lengths + (kernel_size - 1), 0)
        offsets = np.append(0, counts.cumsum())
        # The window in which a word stands at the last place; the next one has it one place before that.
        last = np.arange(title_offsets[-1]) + np.repeat(offsets[:-1] - title_offsets[:-1], lengths)
        windows = last + np.arange(kernel_size)[::-1, None]
        words = np.full((offsets[-1], kernel_size), len(bags.rows))
        words[windows, np.arange(kernel_size)[:, None]] = bags.inverse.numpy()
        of_words = windows[:, bags.row_bags.numpy()]
        of_titles = np.repeat(np.arange(len(lengths)), counts)
        stand, of_word, title, ends = map(torch.from_numpy, (words, of_words, of_titles, offsets))
        return cls(stand, of_word, bags.row_offsets, title, ends)

    @property
    def num_titles(self) -> int:
        """How many titles there are."""
        return len(self.offsets) - 1

    def sums_by_word(self, gradient: Tensor, position: int) -> Tensor:
        """For each distinct word, the sum of `gradient` [windows, …] over the windows in which it stands there."""
        return F.embedding_bag(
            self.word_windows[position], gradient, self.word_offsets, mode="sum", include_last_offset=True
        )
