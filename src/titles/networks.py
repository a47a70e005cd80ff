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
from titles.ragged import Ragged

VECTOR_SCALE = 0.05


@dataclass(frozen=True)
class Batch:
    """Titles as words, and each distinct word of theirs as number and spelling, so that a word is put together once.

    words           int64 [distinct words], ascending
    buckets         int64 [subwords of these], those of word i from `bucket_offsets[i]` to `bucket_offsets[i + 1]`
    places          int64 [words of the titles], in `words`; those of title i from `offsets[i]` to `offsets[i + 1]`
    """

    words: Tensor
    buckets: Tensor
    bucket_offsets: Tensor
    places: Tensor
    offsets: Tensor

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
        )


@dataclass(frozen=True)
class Sizes:
    """What the data decides of a network."""

    vocabulary: int
    buckets: int
    dimension: int
    categories: int


class WordVectors(nn.Module):
    """A word's vector: its own row, if the vocabulary has it, plus the mean of the rows of its subwords, normalised.

    Without batch normalisation (Ioffe and Szegedy, 2015) sigmoid learns next to nothing from few titles.

    While training, a share `word_dropout` of the words goes without its own row, so that the subwords learn to stand
    in for words never seen.
    """

    def __init__(self, sizes: Sizes, model: ModelParams) -> None:
        super().__init__()
        sparse = model.embeddings == "trained"
        self.own = nn.Embedding(sizes.vocabulary, sizes.dimension, sparse=sparse)
        self.subwords = nn.EmbeddingBag(
            sizes.buckets, sizes.dimension, mode="mean", sparse=sparse, include_last_offset=True
        )
        nn.init.normal_(self.own.weight, std=VECTOR_SCALE)
        nn.init.normal_(self.subwords.weight, std=VECTOR_SCALE)
        self.requires_grad_(sparse)
        self.normalise = nn.BatchNorm1d(sizes.dimension)
        self.word_dropout = model.word_dropout

    def forward(self, batch: Batch) -> Tensor:
        """[distinct words, dimension]"""
        # The words ascend, so those with a row of their own come first.
        known = batch.words[: torch.searchsorted(batch.words, self.own.num_embeddings)]
        own = self.own(known)
        if self.training and self.word_dropout:
            own = own * (torch.rand(len(known), 1) >= self.word_dropout)
        spelled = self.subwords(batch.buckets, batch.bucket_offsets)
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


class MLP(nn.Module):
    """Fully connected layers over the mean of the title's word vectors."""

    def __init__(self, sizes: Sizes, model: ModelParams, mlp: MlpParams) -> None:
        super().__init__()
        self.word_vectors = WordVectors(sizes, model)
        self.hidden = nn.Sequential()
        for inputs, outputs in pairwise([sizes.dimension, *mlp.hidden]):
            self.hidden.extend([nn.Linear(inputs, outputs), _activation(model), nn.Dropout(model.dropout)])
        self.output = nn.Linear([sizes.dimension, *mlp.hidden][-1], sizes.categories)

    def forward(self, batch: Batch) -> Tensor:
        """[titles, categories]; the mean of a title without words is zero."""
        vectors = self.word_vectors(batch)
        means = F.embedding_bag(batch.places, vectors, batch.offsets, mode="mean", include_last_offset=True)
        logits: Tensor = self.output(self.hidden(means))
        return logits


class CNN(nn.Module):
    """Filters of several widths over the word vectors in their order, and of each its maximum. Kim (2014)."""

    def __init__(self, sizes: Sizes, model: ModelParams, cnn: CnnParams) -> None:
        super().__init__()
        self.word_vectors = WordVectors(sizes, model)
        self.convolutions = nn.ModuleList(nn.Conv1d(sizes.dimension, cnn.filters, width) for width in cnn.widths)
        self.activation = _activation(model)
        self.dropout = nn.Dropout(model.dropout)
        self.output = nn.Linear(cnn.filters * len(cnn.widths), sizes.categories)
        self.margin = max(cnn.widths)

    def forward(self, batch: Batch) -> Tensor:
        """[titles, categories]; a window of nothing follows each title, so that its batch does not matter."""
        vectors = F.pad(self.word_vectors(batch), (0, 0, 0, 1))
        padded = vectors[self._padded_places(batch, nothing=len(vectors) - 1)].transpose(1, 2)
        maxima = [self.activation(convolution(padded)).amax(2) for convolution in self.convolutions]
        logits: Tensor = self.output(self.dropout(torch.cat(maxima, 1)))
        return logits

    def _padded_places(self, batch: Batch, nothing: int) -> Tensor:
        """[titles, longest title + margins], `nothing` where no word stands."""
        lengths = batch.offsets.diff()
        longest = int(lengths.max())
        places = torch.full((len(lengths), longest + 2 * self.margin - 1), nothing)
        columns = torch.arange(longest)
        places[:, self.margin - 1 : self.margin - 1 + longest][columns < lengths[:, None]] = batch.places
        return places


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
