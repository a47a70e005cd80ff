"""A batch of titles as numbers: all that a network must look up, so that it has nothing left but to calculate."""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from titles.data.conv_windows import Windows
from titles.data.csr_bags import CSRBags
from titles.data.padding import PaddedBags, PaddedWindows
from titles.data.ragged import Ragged

AnyBags = CSRBags | PaddedBags
AnyWindows = Windows | PaddedWindows


@dataclass(frozen=True)
class WordBatch:
    """Words in bags, and how each distinct word of theirs is put together, which is done once.

    known       how many of the distinct words have a vector of their own; these are the first. None where the
                last may be padding
    subwords    a bag for each distinct word, or for those alone whose vectors are not finished
    """

    bags: AnyBags
    num_in_vocabulary: int
    subwords: AnyBags

    @classmethod
    def from_ids(
        cls,
        word_ids: NDArray[np.integer],
        offsets: NDArray[np.int64],
        subword_ids: Ragged,
        vocabulary_size: int,
        precomputed: bool = False,
    ) -> "WordBatch":
        bags = CSRBags.from_offsets(word_ids, offsets)
        words = bags.rows.numpy()
        known = int(np.searchsorted(words, vocabulary_size))
        spelled = subword_ids.take(words[known:] if precomputed else words)
        return cls(bags, known, CSRBags.from_offsets(spelled.values, spelled.offsets))


@dataclass(frozen=True)
class Batch:
    """What a network makes of titles.

    words      each in a bag of its own
    lengths    int64 [titles], in words
    windows    for each width of the network's filters
    pairs      the MLP's pairs of words that have a vector, a bag for each title
    """

    words: WordBatch
    lengths: Tensor
    windows: tuple[AnyWindows, ...]
    bigrams: AnyBags | None = None


def to_device(tree: Any, device: torch.device) -> Any:
    """A tensor, or what holds tensors, on that device; to a GPU they go while this process does other things."""
    if device.type == "cpu":
        return tree
    pinned = Tensor.pin_memory if device.type == "cuda" else Tensor.contiguous
    return tree_map(lambda tensor: pinned(tensor).to(device, non_blocking=True), tree)


def tree_map(function: Callable[[Tensor], Tensor], tree: Any) -> Any:
    """A tensor, or a tuple or dataclass that holds tensors, with what the function makes of each."""
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, tuple):
        return tuple(tree_map(function, one) for one in tree)
    if is_dataclass(tree) and not isinstance(tree, type):
        return type(tree)(*(tree_map(function, getattr(tree, field.name)) for field in fields(tree)))
    return tree
