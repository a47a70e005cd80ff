"""A batch of titles as numbers, and the vectors of its words and of its pairs of words."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from titles.hyperparameters import ModelParams
from titles.optimizer import sparse_rows
from titles.pairs import pair_keys
from titles.ragged import Ragged

VECTOR_SCALE = 0.05


@dataclass(frozen=True)
class Batch:
    """Titles as words, and each distinct word of theirs as number and spelling, so that a word is put together once.

    words           int64 [distinct words], ascending
    buckets         int64 [subwords of these], those of word i from `bucket_offsets[i]` to `bucket_offsets[i + 1]`
    places          int64 [words of the titles], in `words`; those of title i from `offsets[i]` to `offsets[i + 1]`
    pairs           int64 [words of the titles], the key of the pair each makes with the word before it
    """

    words: Tensor
    buckets: Tensor
    bucket_offsets: Tensor
    places: Tensor
    offsets: Tensor
    pairs: Tensor

    @classmethod
    def of(cls, titles: Ragged, spelling: Ragged) -> "Batch":
        words, places = torch.unique(torch.from_numpy(titles.values).long(), return_inverse=True)
        spelled = spelling.take(words.numpy())
        return cls(
            words,
            torch.from_numpy(spelled.values).long(),
            torch.from_numpy(spelled.offsets),
            places,
            torch.from_numpy(titles.offsets),
            torch.from_numpy(pair_keys(titles)),
        )


@dataclass(frozen=True)
class Sizes:
    """What the data decides of a network."""

    vocabulary: int
    buckets: int
    pairs: int
    dimension: int
    categories: int


class _Sums(torch.autograd.Function):
    """The sum of the rows of each bag, as `F.embedding_bag` of mode sum, whose backward pass is here one as well.

    The gradient of a row is the sum over the bags it is in. Torch's own leaves that sum to `coalesce`, at several times
    the cost, of a copy of the gradient for every row of every bag.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, numbers: Tensor, offsets: Tensor) -> Tensor:
        ctx.save_for_backward(numbers, offsets)
        ctx.shape = table.shape
        return F.embedding_bag(numbers, table, offsets, mode="sum", include_last_offset=True)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        numbers, offsets = ctx.saved_tensors
        rows, places = torch.unique(numbers, return_inverse=True)
        bags = torch.repeat_interleave(torch.arange(len(offsets) - 1), offsets.diff())[places.argsort(stable=True)]
        starts = F.pad(torch.bincount(places, minlength=len(rows)).cumsum(0), (1, 0))
        values = F.embedding_bag(bags, gradient, starts, mode="sum", include_last_offset=True)
        return sparse_rows(rows, values, ctx.shape), None, None


class Table(nn.Module):
    """Vectors by number, of which a batch looks up few: their gradient is sparse, with every row once."""

    def __init__(self, rows: int, dimension: int, model: ModelParams) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(rows, dimension), requires_grad=model.embeddings == "trained")

    def forward(self, numbers: Tensor, offsets: Tensor) -> Tensor:
        """The sums of the rows `numbers[offsets[i]:offsets[i + 1]]`, [bags, dimension]."""
        sums: Tensor = _Sums.apply(self.weight, numbers, offsets)  # type: ignore[no-untyped-call]
        return sums


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
        self.normalise = nn.BatchNorm1d(sizes.dimension)
        self.word_dropout, self.members = model.word_dropout, model.members

    def forward(self, batch: Batch) -> Tensor:
        """[distinct words, dimension]"""
        # The words ascend, so those with a row of their own come first.
        known = batch.words[: torch.searchsorted(batch.words, len(self.own.weight))]
        own = self.own(known, torch.arange(len(known) + 1))
        if self.training and self.word_dropout:
            kept = torch.rand(len(known), self.members) >= self.word_dropout
            own = own * kept.repeat_interleave(own.shape[1] // self.members, 1)
        counts = batch.bucket_offsets.diff().clamp(min=1)
        spelled = self.subwords(batch.buckets, batch.bucket_offsets) / counts.sqrt()[:, None]
        vectors = spelled + F.pad(own, (0, 0, 0, len(spelled) - len(known)))
        # A single word has no variance to be normalised by.
        self.normalise.train(self.training and len(vectors) > 1)
        normalised: Tensor = self.normalise(vectors)
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
        numbers = torch.searchsorted(self.keys, batch.pairs)
        known = torch.searchsorted(self.keys, batch.pairs, right=True) > numbers
        offsets = F.pad(known.cumsum(0), (1, 0))[batch.offsets]
        sums: Tensor = self.table(numbers[known], offsets)
        return sums
