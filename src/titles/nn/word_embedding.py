"""The vectors of a batch's words and of its pairs of words."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from titles.data.batch import AnyBags, Words, moved
from titles.data.bigrams import pair_keys
from titles.data.csr_bags import Bags
from titles.data.ragged import Ragged
from titles.nn.batch_norm import WordNorm
from titles.nn.hparams import ModelParams
from titles.nn.sparse_embedding import Table

VECTOR_SCALE = 0.05
FINISHED_WORDS = 8192


@dataclass(frozen=True)
class Sizes:
    """What the data decides of a network."""

    vocabulary: int
    buckets: int
    pairs: int
    dimension: int
    categories: int


class WordVectors(nn.Module):
    """A word's vector: its own row, if the vocabulary has it, plus the rows of its subwords, normalised.

    The sum of n subwords is divided by the root of n, so that it weighs as much as the word's own row at the start,
    however long the word. Without batch normalisation (Ioffe and Szegedy, 2015) sigmoid learns next to nothing from
    few titles.

    While training, a share `word_dropout` of the words goes without its own row, so that the subwords learn to stand
    in for words never seen; which words, every member draws for itself. After it, `finish` puts each word of the
    vocabulary together once and for all, so that a network in use looks up one row a word.
    """

    def __init__(self, sizes: Sizes, model: ModelParams) -> None:
        super().__init__()
        self.own = Table(sizes.vocabulary, sizes.dimension, model)
        self.subwords = Table(sizes.buckets, sizes.dimension, model)
        # Without memory, for weights to come: torch would load its compiler for these.
        if not self.own.weight.is_meta:
            nn.init.normal_(self.own.weight, std=VECTOR_SCALE)
            nn.init.normal_(self.subwords.weight, std=VECTOR_SCALE)
        self.normalise = WordNorm(sizes.dimension)
        self.word_dropout, self.members = model.word_dropout, model.members
        self.finished = False

    def forward(self, words: Words) -> Tensor:
        """[distinct words, dimension]"""
        distinct = words.bags.rows
        padded = words.known is None
        own = self.own.rows(distinct[: words.known], some_lack=padded)
        others = len(distinct) - len(own)
        if self.finished:
            return torch.cat([own, self.normalise(self._spelled(words.subwords, others), distinct[len(own) :])])
        if self.training and self.word_dropout:
            kept = torch.rand(len(own), self.members, device=own.device) >= self.word_dropout
            own = own * kept.repeat_interleave(own.shape[1] // self.members, 1)
        vectors = F.pad(own, (0, 0, 0, others)) + self._spelled(words.subwords, len(distinct))
        normalised: Tensor = self.normalise(vectors, distinct, padded)
        return normalised

    def _spelled(self, subwords: AnyBags, words: int) -> Tensor:
        if not len(self.subwords.weight):
            return self.subwords.weight.new_zeros(words, self.subwords.weight.shape[1])
        counts = subwords.lengths.clamp(min=1)
        spelled: Tensor = self.subwords(subwords) / counts.sqrt()[:, None]
        return spelled

    @torch.no_grad()
    def finish(self, spelling: Ragged) -> None:
        """Puts in place of each own row the vector of its word."""
        self.eval()
        vocabulary, device = len(self.own.weight), self.own.weight.device
        for first in range(0, vocabulary, FINISHED_WORDS):
            numbers = np.arange(first, min(first + FINISHED_WORDS, vocabulary))
            words = Words.of(numbers, np.arange(len(numbers) + 1), spelling, vocabulary)
            self.own.weight[first : first + len(numbers)] = self(moved(words, device))
        self.finished = True

    @torch.no_grad()
    def start_from(self, vectors: NDArray[Any]) -> None:
        """Takes `vectors` [vocabulary, dimension] as own rows, except rows of NaN.

        Subwords start from nothing, so as not to blur them.
        """
        given = torch.from_numpy(vectors)
        known = ~given[:, 0].isnan()
        self.own.weight[known] = given[known]
        self.subwords.weight.zero_()


class PairVectors(nn.Module):
    """The vectors of pairs of words, which start from nothing."""

    keys: Tensor

    def __init__(self, sizes: Sizes, model: ModelParams) -> None:
        super().__init__()
        self.table = Table(sizes.pairs, sizes.dimension, model)
        self.register_buffer("keys", torch.zeros(sizes.pairs, dtype=torch.int64))

    def bags(self, titles: Ragged) -> Bags:
        """Of each title the pairs that have a vector, by number."""
        keys, pairs = self.keys.numpy(), pair_keys(titles)
        if not len(keys):
            return Bags.of(keys, np.zeros_like(titles.offsets))
        numbers = np.searchsorted(keys, pairs).clip(max=len(keys) - 1)
        known = keys[numbers] == pairs
        return Bags.of(numbers[known], np.concatenate([[0], known.cumsum()])[titles.offsets])

    def forward(self, bags: AnyBags) -> Tensor:
        """The sums of the vectors of each title's pairs, [titles, dimension]."""
        if not len(self.table.weight):
            return self.table.weight.new_zeros(len(bags.lengths), self.table.weight.shape[1])
        sums: Tensor = self.table(bags)
        return sums

    def _apply(self, *arguments: Any) -> "PairVectors":
        """Moves all but the keys, which are needed where batches are made."""
        keys = self.keys
        super()._apply(*arguments)  # type: ignore[no-untyped-call]
        self.keys = keys
        return self
