"""Batches of titles: the index tensors that a network needs for its lookups, and functions to move them to a device."""

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
    """Words in bags, and the subwords of each distinct word, so that a word vector is computed once per batch.

    bags                the word ids; `bags.rows` are the distinct ones
    num_in_vocabulary   the number of distinct words that can have an own vector; they come first in `bags.rows`. In a
                        padded batch the number of all rows, padding included
    subwords            one bag per distinct word, or one per word outside the vocabulary if word vectors are
                        precomputed
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
        """Bag i holds `word_ids[offsets[i]:offsets[i + 1]]`; row w of `subword_ids` holds the subwords of word w."""
        bags = CSRBags.from_offsets(word_ids, offsets)
        distinct_words = bags.rows.numpy()
        num_in_vocabulary = int(np.searchsorted(distinct_words, vocabulary_size))
        subwords = subword_ids.take(distinct_words[num_in_vocabulary:] if precomputed else distinct_words)
        return cls(bags, num_in_vocabulary, CSRBags.from_offsets(subwords.values, subwords.offsets))


@dataclass(frozen=True)
class Batch:
    """The input of a network.

    words     one bag per word, title after title
    lengths   int64 [titles], in words
    windows   one element per kernel size of the network
    bigrams   for the MLP, one bag per title with the bigrams that have a vector
    """

    words: WordBatch
    lengths: Tensor
    windows: tuple[AnyWindows, ...]
    bigrams: AnyBags | None = None


def to_device(tree: Any, device: torch.device) -> Any:
    """Move a tensor, or a tuple or dataclass of tensors, to `device`; the copy to a GPU is asynchronous."""
    if device.type == "cpu":
        return tree
    prepare = Tensor.pin_memory if device.type == "cuda" else Tensor.contiguous
    return tree_map(lambda tensor: prepare(tensor).to(device, non_blocking=True), tree)


def tree_map(function: Callable[[Tensor], Tensor], tree: Any) -> Any:
    """Apply `function` to a tensor, or to every tensor in nested tuples and dataclasses; copy all else unchanged."""
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, tuple):
        return tuple(tree_map(function, item) for item in tree)
    if is_dataclass(tree) and not isinstance(tree, type):
        return type(tree)(*(tree_map(function, getattr(tree, field.name)) for field in fields(tree)))
    return tree
