"""Word vectors, made of the own vector of a word and those of its subwords, and bigram vectors."""

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
    """The sizes of a network that depend on the encoded data."""

    vocabulary: int
    buckets: int
    bigrams: int
    dimension: int
    categories: int


class WordVectors(nn.Module):
    """The vector of a word: its own vector, if it is in the vocabulary, plus the vectors of its subwords, normalised.

    The sum of n subword vectors is divided by the square root of n, so that it has the scale of the own vector at the
    start, whatever the length of the word. Batch normalisation follows: without it, networks with sigmoid learn little
    from few titles.

    In training, `word_dropout` is the probability that a word loses its own vector, so that subwords learn to represent
    words outside the vocabulary. Each member of the ensemble draws these words independently. After training,
    `precompute` replaces the own vectors by the complete word vectors, so that prediction looks up one row per
    vocabulary word.
    """

    def __init__(self, sizes: Sizes, model: ModelParams) -> None:
        super().__init__()
        # The vectors of the vocabulary; `own` is their name in the weights file.
        self.own = SparseEmbedding(sizes.vocabulary, sizes.dimension, model)
        self.subwords = SparseEmbedding(sizes.buckets, sizes.dimension, model)
        # Weights on the meta device are loaded later, and their initialisation would import the compiler of torch.
        if not self.own.weight.is_meta:
            nn.init.normal_(self.own.weight, std=INIT_STD)
            nn.init.normal_(self.subwords.weight, std=INIT_STD)
        self.normalise = WordBatchNorm(sizes.dimension)
        self.word_dropout, self.ensemble_size = model.word_dropout, model.ensemble_size
        self.precomputed = False

    def forward(self, words: WordBatch) -> Tensor:
        """The vectors of the distinct words of the batch, [distinct words, dimension]."""
        distinct = words.bags.rows
        own = self.own.rows(distinct[: words.num_in_vocabulary])
        if isinstance(words.bags, PaddedBags):
            # A padded batch has fixed shapes: all rows are looked up, and those outside the vocabulary are masked.
            own = own * (distinct < len(self.own.weight))[:, None]
        num_oov = len(distinct) - len(own)
        if self.precomputed:
            oov = self._subword_vectors(words.subwords, num_oov)
            return torch.cat([own, self.normalise(oov, words.bags)])
        if self.training and self.word_dropout:
            retained = torch.rand(len(own), self.ensemble_size, device=own.device) >= self.word_dropout
            own = own * retained.repeat_interleave(own.shape[1] // self.ensemble_size, 1)
        vectors = F.pad(own, (0, 0, 0, num_oov)) + self._subword_vectors(words.subwords, len(distinct))
        normalised: Tensor = self.normalise(vectors, words.bags)
        return normalised

    def _subword_vectors(self, subwords: AnyBags, num_words: int) -> Tensor:
        if not len(self.subwords.weight):
            return self.subwords.weight.new_zeros(num_words, self.subwords.weight.shape[1])
        counts = subwords.lengths.clamp(min=1)
        vectors: Tensor = self.subwords(subwords) / counts.sqrt()[:, None]
        return vectors

    @torch.no_grad()
    def precompute(self, subword_ids: Ragged) -> None:
        """Replace each own vector by the complete vector of its word, for prediction."""
        self.eval()
        vocabulary, device = len(self.own.weight), self.own.weight.device
        for first in range(0, vocabulary, PRECOMPUTE_BATCH_SIZE):
            word_ids = np.arange(first, min(first + PRECOMPUTE_BATCH_SIZE, vocabulary))
            words = WordBatch.from_ids(word_ids, np.arange(len(word_ids) + 1), subword_ids, vocabulary)
            self.own.weight[first : first + len(word_ids)] = self(to_device(words, device))
        self.precomputed = True

    @torch.no_grad()
    def load_pretrained(self, vectors: NDArray[Any]) -> None:
        """Initialise the own vectors with `vectors` [vocabulary, dimension], except where a row is NaN.

        Subword vectors are set to zero, because random ones would add noise to the pretrained vectors.
        """
        pretrained = torch.from_numpy(vectors)
        has_vector = ~pretrained[:, 0].isnan()
        self.own.weight[has_vector] = pretrained[has_vector]
        self.subwords.weight.zero_()


class BigramVectors(nn.Module):
    """The vectors of bigrams, initially zero.

    `keys` int64 [bigrams], ascending, are the bigrams that have a vector.
    """

    keys: Tensor

    def __init__(self, sizes: Sizes, model: ModelParams) -> None:
        super().__init__()
        self.table = SparseEmbedding(sizes.bigrams, sizes.dimension, model)
        self.register_buffer("keys", torch.zeros(sizes.bigrams, dtype=torch.int64))

    def bags(self, titles: Ragged) -> CSRBags:
        """One bag per title with the positions in `keys` of its bigrams."""
        keys, bigrams = self.keys.numpy(), bigram_keys(titles)
        if not len(keys):
            return CSRBags.from_offsets(keys, np.zeros_like(titles.offsets))
        positions = np.searchsorted(keys, bigrams).clip(max=len(keys) - 1)
        has_vector = keys[positions] == bigrams
        return CSRBags.from_offsets(positions[has_vector], np.concatenate([[0], has_vector.cumsum()])[titles.offsets])

    def forward(self, bags: AnyBags) -> Tensor:
        """Sum the vectors of the bigrams of each title, [titles, dimension]."""
        if not len(self.table.weight):
            return self.table.weight.new_zeros(len(bags.lengths), self.table.weight.shape[1])
        sums: Tensor = self.table(bags)
        return sums

    def _apply(self, *arguments: Any) -> "BigramVectors":
        """Move all tensors but the keys, which stay on the CPU, where batches are made."""
        keys = self.keys
        super()._apply(*arguments)  # type: ignore[no-untyped-call]
        self.keys = keys
        return self
