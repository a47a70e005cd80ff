"""A batch of titles as numbers: all that a network must look up, so that it has nothing left but to calculate."""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from titles.data.conv_windows import Windows
from titles.data.csr_bags import Bags
from titles.data.padding import PaddedBags, PaddedWindows
from titles.data.ragged import Ragged

AnyBags = Bags | PaddedBags
AnyWindows = Windows | PaddedWindows


@dataclass(frozen=True)
class Words:
    """Words in bags, and how each distinct word of theirs is put together, which is done once.

    known       how many of the distinct words have a vector of their own; these are the first. None where the
                last may be padding
    subwords    a bag for each distinct word, or for those alone whose vectors are not finished
    """

    bags: AnyBags
    known: int | None
    subwords: AnyBags

    @classmethod
    def of(
        cls,
        numbers: NDArray[np.integer],
        offsets: NDArray[np.int64],
        spelling: Ragged,
        vocabulary: int,
        finished: bool = False,
    ) -> "Words":
        bags = Bags.of(numbers, offsets)
        words = bags.rows.numpy()
        known = int(np.searchsorted(words, vocabulary))
        spelled = spelling.take(words[known:] if finished else words)
        return cls(bags, known, Bags.of(spelled.values, spelled.offsets))


@dataclass(frozen=True)
class Batch:
    """What a network makes of titles.

    words      each in a bag of its own
    lengths    int64 [titles], in words
    windows    for each width of the network's filters
    pairs      the MLP's pairs of words that have a vector, a bag for each title
    """

    words: Words
    lengths: Tensor
    windows: tuple[AnyWindows, ...]
    pairs: AnyBags | None = None


def moved(numbers: Any, device: torch.device) -> Any:
    """A tensor, or what holds tensors, on that device; to a GPU they go while this process does other things."""
    if device.type == "cpu":
        return numbers
    pinned = Tensor.pin_memory if device.type == "cuda" else Tensor.contiguous
    return mapped(lambda tensor: pinned(tensor).to(device, non_blocking=True), numbers)


def mapped(function: Callable[[Tensor], Tensor], numbers: Any) -> Any:
    """A tensor, or a tuple or dataclass that holds tensors, with what the function makes of each."""
    if isinstance(numbers, Tensor):
        return function(numbers)
    if isinstance(numbers, tuple):
        return tuple(mapped(function, one) for one in numbers)
    if is_dataclass(numbers) and not isinstance(numbers, type):
        return type(numbers)(*(mapped(function, getattr(numbers, field.name)) for field in fields(numbers)))
    return numbers
