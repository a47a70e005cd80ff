"""Convolution windows of a batch: the words in each window, and the windows of each word."""

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
    """All windows of `kernel_size` positions that contain at least one word of a title, title after title.

    Every title is padded with `kernel_size - 1` empty positions at both ends.

    words          int64 [windows, kernel_size], the index of the distinct word at each position; at an empty
                   position the number of distinct words
    word_windows   int64 [kernel_size, words], the windows that contain each word at that position, in the order of
                   `CSRBags.row_bags`
    word_offsets   int64 [distinct words + 1], where the windows of each distinct word start in `word_windows`
    titles         int64 [windows], the index of the title of each window
    offsets        int64 [titles + 1], the windows of title i are those from `offsets[i]` to `offsets[i + 1]`
    """

    words: Tensor
    word_windows: Tensor
    word_offsets: Tensor
    titles: Tensor
    offsets: Tensor

    @classmethod
    def from_bags(cls, kernel_size: int, bags: CSRBags, title_offsets: NDArray[np.int64]) -> Self:
        """`bags` holds one bag per word; title i has those from `title_offsets[i]` to `title_offsets[i + 1]`."""
        lengths = np.diff(title_offsets)
        counts = np.where(lengths, lengths + (kernel_size - 1), 0)
        offsets = np.append(0, counts.cumsum())
        # The window with each word at the last position; the next window has it one position earlier.
        last = np.arange(title_offsets[-1]) + np.repeat(offsets[:-1] - title_offsets[:-1], lengths)
        windows = last + np.arange(kernel_size)[::-1, None]
        words = np.full((offsets[-1], kernel_size), len(bags.rows))
        words[windows, np.arange(kernel_size)[:, None]] = bags.inverse.numpy()
        word_windows = windows[:, bags.row_bags.numpy()]
        titles = np.repeat(np.arange(len(lengths)), counts)
        tensor = torch.from_numpy
        return cls(tensor(words), tensor(word_windows), bags.row_offsets, tensor(titles), tensor(offsets))

    @property
    def num_titles(self) -> int:
        """The number of titles."""
        return len(self.offsets) - 1

    def sums_by_word(self, gradient: Tensor, position: int) -> Tensor:
        """Sum `gradient` [windows, …] over the windows with each distinct word at `position`; [distinct words, …]."""
        return F.embedding_bag(
            self.word_windows[position], gradient, self.word_offsets, mode="sum", include_last_offset=True
        )
