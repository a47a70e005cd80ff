"""The vectors of a batch's words and of its pairs of words."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from titles.batch import Batch
from titles.hyperparameters import ModelParams
from titles.lookup import Table
from titles.normalisation import WordNorm

VECTOR_SCALE = 0.05


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
    in for words never seen; which words, every member draws for itself.
    """

    def __init__(self, sizes: Sizes, model: ModelParams) -> None:
        super().__init__()
        self.own = Table(sizes.vocabulary, sizes.dimension, model)
        self.subwords = Table(sizes.buckets, sizes.dimension, model)
        nn.init.normal_(self.own.weight, std=VECTOR_SCALE)
        nn.init.normal_(self.subwords.weight, std=VECTOR_SCALE)
        self.normalise = WordNorm(sizes.dimension)
        self.word_dropout, self.members = model.word_dropout, model.members

    def forward(self, batch: Batch) -> Tensor:
        """[distinct words, dimension]"""
        # The words ascend, so those with a row of their own come first.
        known = batch.words[: torch.searchsorted(batch.words, len(self.own.weight))]
        own = self.own.rows(known)
        if self.training and self.word_dropout:
            kept = torch.rand(len(known), self.members, device=known.device) >= self.word_dropout
            own = own * kept.repeat_interleave(own.shape[1] // self.members, 1)
        vectors = F.pad(own, (0, 0, 0, len(batch.words) - len(known)))
        if len(self.subwords.weight):
            counts = batch.bucket_offsets.diff().clamp(min=1)
            vectors = vectors + self.subwords(batch.buckets, batch.bucket_offsets) / counts.sqrt()[:, None]
        normalised: Tensor = self.normalise(vectors, batch.words)
        return normalised

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

    def forward(self, batch: Batch) -> Tensor:
        """The sum over the pairs of each title that have a vector, [titles, dimension]."""
        if not len(self.keys):
            return self.table.weight.new_zeros(len(batch.offsets) - 1, self.table.weight.shape[1])
        numbers = torch.searchsorted(self.keys, batch.pairs).clamp(max=len(self.keys) - 1)
        known = self.keys[numbers] == batch.pairs
        offsets = F.pad(known.cumsum(0), (1, 0))[batch.offsets]
        sums: Tensor = self.table(numbers[known], offsets)
        return sums
