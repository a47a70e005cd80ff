"""The two networks: a batch of titles in, the logits of the categories out."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from titles.hyperparameters import ACTIVATIONS, CnnParams, MlpParams, ModelParams
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
        sparse = model.embeddings == "trained"
        self.own = nn.Embedding(sizes.vocabulary, sizes.dimension, sparse=sparse)
        self.subwords = nn.EmbeddingBag(
            sizes.buckets, sizes.dimension, mode="sum", sparse=sparse, include_last_offset=True
        )
        nn.init.normal_(self.own.weight, std=VECTOR_SCALE)
        nn.init.normal_(self.subwords.weight, std=VECTOR_SCALE)
        self.requires_grad_(sparse)
        self.normalise = nn.BatchNorm1d(sizes.dimension)
        self.word_dropout, self.members = model.word_dropout, model.members

    def forward(self, batch: Batch) -> Tensor:
        """[distinct words, dimension]"""
        # The words ascend, so those with a row of their own come first.
        known = batch.words[: torch.searchsorted(batch.words, self.own.num_embeddings)]
        own = self.own(known)
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
        sparse = model.embeddings == "trained"
        self.table = nn.EmbeddingBag(sizes.pairs, sizes.dimension, mode="sum", sparse=sparse, include_last_offset=True)
        self.table.weight.requires_grad_(sparse)
        nn.init.zeros_(self.table.weight)
        self.register_buffer("keys", torch.zeros(sizes.pairs, dtype=torch.int64))

    def forward(self, batch: Batch) -> Tensor:
        """The sum over the pairs of each title that have a vector, [titles, dimension]."""
        numbers = torch.searchsorted(self.keys, batch.pairs)
        known = torch.searchsorted(self.keys, batch.pairs, right=True) > numbers
        offsets = F.pad(known.cumsum(0), (1, 0))[batch.offsets]
        sums: Tensor = self.table(numbers[known], offsets)
        return sums


class Linears(nn.Module):
    """A linear layer for each member: [members, titles, inputs] to [members, titles, outputs]."""

    def __init__(self, members: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs).uniform_(-1, 1) / inputs**0.5)
        self.bias = nn.Parameter(torch.zeros(members, 1, outputs))

    def forward(self, values: Tensor) -> Tensor:
        """Multiplies and adds."""
        return torch.baddbmm(self.bias, values, self.weight)


class Network(nn.Module):
    """Several small networks side by side, each with its part of the word vectors, that answer as one.

    They are trained each for itself in one pass, as in Packed-Ensembles (Laurent et al., 2023), and their
    probabilities averaged. `temperature` divides the logits (Guo et al., 2017, On calibration of modern neural
    networks); training leaves it at 1.
    """

    temperature: Tensor

    def __init__(self, sizes: Sizes, model: ModelParams, features: int) -> None:
        super().__init__()
        self.word_vectors = WordVectors(sizes, model)
        self.output = Linears(model.members, features, sizes.categories)
        self.register_buffer("temperature", torch.ones(()))
        self.members = model.members

    def forward(self, batch: Batch) -> Tensor:
        """The logits of every member [members, titles, categories] while training, else of all [titles, categories]."""
        logits: Tensor = self.output(self.features(batch))
        if self.training:
            return logits
        together: Tensor = logits.log_softmax(2).logsumexp(0) / self.temperature
        return together

    def features(self, batch: Batch) -> Tensor:
        """What the output layer sees, [members, titles, features]."""
        raise NotImplementedError


class MLP(Network):
    """Fully connected layers over the mean of a title's word vectors, to which its pairs of words add theirs."""

    def __init__(self, sizes: Sizes, model: ModelParams, mlp: MlpParams) -> None:
        widths = [sizes.dimension // model.members, *mlp.hidden]
        super().__init__(sizes, model, widths[-1])
        self.pair_vectors = PairVectors(sizes, model)
        self.hidden = nn.Sequential()
        for inputs, outputs in pairwise(widths):
            self.hidden.extend([Linears(model.members, inputs, outputs), _activation(model), nn.Dropout(model.dropout)])

    def features(self, batch: Batch) -> Tensor:
        """The last hidden layer; the mean of a title without words is zero."""
        vectors = self.word_vectors(batch)
        sums = F.embedding_bag(batch.places, vectors, batch.offsets, mode="sum", include_last_offset=True)
        means = (sums + self.pair_vectors(batch)) / batch.offsets.diff().clamp(min=1)[:, None]
        hidden: Tensor = self.hidden(_by_member(means, self.members))
        return hidden


class CNN(Network):
    """Filters of several widths over the word vectors in their order, as Kim (2014); of each its maximum and mean."""

    def __init__(self, sizes: Sizes, model: ModelParams, cnn: CnnParams) -> None:
        super().__init__(sizes, model, 2 * cnn.filters * len(cnn.widths))
        inputs = sizes.dimension // model.members
        self.widths = cnn.widths
        self.filters = nn.ModuleList(Linears(model.members, width * inputs, cnn.filters) for width in cnn.widths)
        self.activation = _activation(model)
        self.dropout = nn.Dropout(model.dropout)

    def features(self, batch: Batch) -> Tensor:
        """Maxima and means over the windows in which a word stands; zero where a title has no such window."""
        line, starts = self._line(batch)
        lengths = batch.offsets.diff()
        pooled = []
        for width, filters in zip(self.widths, self.filters, strict=True):
            windows, offsets = _ranges(starts - (width - 1), lengths + (width - 1))
            seen = torch.cat([line[:, windows + place] for place in range(width)], 2)
            found = self.activation(filters(seen)).transpose(0, 1).flatten(1)
            numbers = torch.arange(len(found))
            for mode in ("max", "mean"):
                of_titles = F.embedding_bag(numbers, found, offsets, mode=mode, include_last_offset=True)
                pooled.append(_by_member(of_titles, self.members))
        dropped: Tensor = self.dropout(torch.cat(pooled, 2))
        return dropped

    def _line(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """All titles in one line with zeros between them, [members, places, inputs]; and where each title starts.

        Titles padded to the longest would be zeros for the most part.
        """
        gap = max(self.widths) - 1
        starts = batch.offsets[:-1] + gap * torch.arange(1, len(batch.offsets))
        places = torch.full((len(batch.places) + gap * len(batch.offsets),), len(batch.words))
        places[_ranges(starts, batch.offsets.diff())[0]] = batch.places
        vectors = F.pad(self.word_vectors(batch), (0, 0, 0, 1))
        return _by_member(vectors, self.members)[:, places], starts


def _by_member(vectors: Tensor, members: int) -> Tensor:
    """[rows, dimension] as [members, rows, the member's part]"""
    return vectors.view(len(vectors), members, vectors.shape[1] // members).transpose(0, 1)


def _ranges(starts: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """The numbers from each start on, as many as its length, one range after the other; and their offsets."""
    offsets = F.pad(lengths.cumsum(0), (1, 0))
    return torch.arange(int(offsets[-1])) + torch.repeat_interleave(starts - offsets[:-1], lengths), offsets


@torch.inference_mode()
def predict(network: nn.Module, titles: Ragged, spelling: Ragged, batch_size: int = 1024) -> Iterator[Tensor]:
    """The logits of all titles in their order, [batch_size, categories] at a time, with dropout off."""
    network.eval()
    for first in range(0, len(titles), batch_size):
        rows = np.arange(first, min(first + batch_size, len(titles)))
        yield network(Batch.of(titles.take(rows), spelling))


def _activation(model: ModelParams) -> nn.Module:
    activation: nn.Module = getattr(nn, ACTIVATIONS[model.activation])()
    return activation
