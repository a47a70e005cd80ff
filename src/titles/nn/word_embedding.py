"""The vectors of a batch's words and of its pairs of words."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from titles.data.batch import AnyBags, WordBatch, to_device
from titles.data.bigrams import bigram_keys
from titles.data.csr_bags import CSRBags
from titles.data.padding import PaddedBags
from titles.data.ragged import Ragged
from titles.nn.batch_norm import WordBatchNorm
from titles.nn.hparams import ModelParams
from titles.nn.sparse_embedding import SparseEmbedding

INIT_STD = 0.05
PRECOMPUTE_BATCH_SIZE = 8192


@dataclass(frozen=True)
class Sizes:
    """What the data decides of a network."""

    vocabulary: int
    buckets: int
    bigrams: int
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
        self.own = SparseEmbedding(sizes.vocabulary, sizes.dimension, model)
        self.subwords = SparseEmbedding(sizes.buckets, sizes.dimension, model)
        # Without memory, for weights to come: torch would load its compiler for these.
        if not self.own.weight.is_meta:
            nn.init.normal_(self.own.weight, std=INIT_STD)
            nn.init.normal_(self.subwords.weight, std=INIT_STD)
        self.normalise = WordBatchNorm(sizes.dimension)
        self.word_dropout, self.ensemble_size = model.word_dropout, model.ensemble_size
        self.precomputed = False

    def forward(self, words: WordBatch) -> Tensor:
        """[distinct words, dimension]"""
        distinct = words.bags.rows
        own = self.own.rows(distinct[: words.num_in_vocabulary])
        if isinstance(words.bags, PaddedBags):
            own = own * (distinct < len(self.own.weight))[:, None]
        others = len(distinct) - len(own)
        if self.precomputed:
            return torch.cat([own, self.normalise(self._subword_vectors(words.subwords, others), words.bags)])
        if self.training and self.word_dropout:
            kept = torch.rand(len(own), self.ensemble_size, device=own.device) >= self.word_dropout
            own = own * kept.repeat_interleave(own.shape[1] // self.ensemble_size, 1)
        vectors = F.pad(own, (0, 0, 0, others)) + self._subword_vectors(words.subwords, len(distinct))
        normalised: Tensor = self.normalise(vectors, words.bags)
        return normalised

    def _subword_vectors(self, subwords: AnyBags, num_words: int) -> Tensor:
        if not len(self.subwords.weight):
            return self.subwords.weight.new_zeros(num_words, self.subwords.weight.shape[1])
        counts = subwords.lengths.clamp(min=1)
        spelled: Tensor = self.subwords(subwords) / counts.sqrt()[:, None]
        return spelled

    @torch.no_grad()
    def precompute(self, subword_ids: Ragged) -> None:
        """Puts in place of each own row the vector of its word."""
        self.eval()
        vocabulary, device = len(self.own.weight), self.own.weight.device
        for first in range(0, vocabulary, PRECOMPUTE_BATCH_SIZE):
            numbers = np.arange(first, min(first + PRECOMPUTE_BATCH_SIZE, vocabulary))
            words = WordBatch.from_ids(numbers, np.arange(len(numbers) + 1), subword_ids, vocabulary)
            self.own.weight[first : first + len(numbers)] = self(to_device(words, device))
        self.precomputed = True

    @torch.no_grad()
    def load_pretrained(self, vectors: NDArray[Any]) -> None:
        """Takes `vectors` [vocabulary, dimension] as own rows, except rows of NaN.

        Subwords start from nothing, so as not to blur them.
        """
        given = torch.from_numpy(vectors)
        known = ~given[:, 0].isnan()
        self.own.weight[known] = given[known]
        self.subwords.weight.zero_()


class BigramVectors(nn.Module):
    """The vectors of pairs of words, which start from nothing."""

    keys: Tensor

    def __init__(self, sizes: Sizes, model: ModelParams) -> None:
        super().__init__()
        self.table = SparseEmbedding(sizes.bigrams, sizes.dimension, model)
        self.register_buffer("keys", torch.zeros(sizes.bigrams, dtype=torch.int64))

    def bags(self, titles: Ragged) -> CSRBags:
        """Of each title the pairs that have a vector, by number."""
        keys, pairs = self.keys.numpy(), bigram_keys(titles)
        if not len(keys):
            return CSRBags.from_offsets(keys, np.zeros_like(titles.offsets))
        numbers = np.searchsorted(keys, pairs).clip(max=len(keys) - 1)
        known = keys[numbers] == pairs
        return CSRBags.from_offsets(numbers[known], np.concatenate([[0], known.cumsum()])[titles.offsets])

    def forward(self, bags: AnyBags) -> Tensor:
        """The sums of the vectors of each title's pairs, [titles, dimension]."""
        if not len(self.table.weight):
            return self.table.weight.new_zeros(len(bags.lengths), self.table.weight.shape[1])
        sums: Tensor = self.table(bags)
        return sums

    def _apply(self, *arguments: Any) -> "BigramVectors":
        """Moves all but the keys, which are needed where batches are made."""
        keys = self.keys
        super()._apply(*arguments)  # type: ignore[no-untyped-call]
        self.keys = keys
        return self
