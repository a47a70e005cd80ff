"""A batch of titles as numbers."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from titles.pairs import pair_keys
from titles.ragged import Ragged


@dataclass(frozen=True)
class Batch:
    """Titles as words, and each distinct word of theirs as number and spelling, so that a word is put together once.

    words           int64 [distinct words], ascending
    buckets         int64 [subwords of these], those of word i from `bucket_offsets[i]` to `bucket_offsets[i + 1]`
    places          int64 [words of the titles], in `words`; those of title i from `offsets[i]` to `offsets[i + 1]`
    order           int64 [words of the titles], which of these is word i: from `starts[i]` to `starts[i + 1]`
    pairs           int64 [words of the titles], the key of the pair each makes with the word before it
    """

    words: Tensor
    buckets: Tensor
    bucket_offsets: Tensor
    places: Tensor
    offsets: Tensor
    order: Tensor
    starts: Tensor
    pairs: Tensor

    @classmethod
    def of(cls, titles: Ragged, spelling: Ragged) -> "Batch":
        # Numbers and their places sorted as one number, which takes a quarter of the time of sorting both.
        keys = np.sort(titles.values.astype(np.int64) << 32 | np.arange(len(titles.values)))
        numbers, order = keys >> 32, keys & 0xFFFFFFFF
        starts = np.flatnonzero(np.diff(numbers, prepend=-1, append=1 << 32))
        words = numbers[starts[:-1]]
        places = np.empty_like(order)
        places[order] = np.repeat(np.arange(len(words)), np.diff(starts))
        spelled = spelling.take(words)
        arrays = (words, spelled.values.astype(np.int64), spelled.offsets, places, titles.offsets, order, starts)
        return cls(*map(torch.from_numpy, (*arrays, pair_keys(titles))))

    def to(self, device: torch.device) -> "Batch":
        """The same batch there; what goes to a GPU goes while this process does other things."""
        if device.type == "cpu":
            return self
        tensors = (tensor.pin_memory() if device.type == "cuda" else tensor for tensor in vars(self).values())
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in tensors))
