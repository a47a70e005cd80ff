"""Recurrent network that `benchmarks.ideas` compares with the MLP and the CNN."""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

from titles.data.batch import Batch
from titles.nn.hparams import CnnParams, ModelParams
from titles.nn.networks import Network
from titles.nn.word_embedding import Sizes

HIDDEN_SIZE = 128


class Recurrent(Network):
    """Bidirectional GRU over the word vectors, pooled by the maximum plus the mean of its states."""

    def __init__(self, sizes: Sizes, model: ModelParams, _: CnnParams) -> None:
        super().__init__(sizes, model, 0, (), 2 * HIDDEN_SIZE)
        self.kernel_sizes = (1,)
        self.recurrent = nn.GRU(sizes.dimension, HIDDEN_SIZE, bidirectional=True)

    def features(self, batch: Batch) -> Tensor:
        """Return the features [1, titles, 2 * HIDDEN_SIZE]; those of a title without words are zero."""
        words, lengths = batch.windows[0].words[:, 0], batch.lengths
        vectors = self.dropout(self.word_vectors(batch.words))[words]
        non_empty = torch.nonzero(lengths)[:, 0]
        sequences = vectors.split(lengths[non_empty].tolist())
        features = torch.zeros(len(lengths), 2 * HIDDEN_SIZE)
        if len(non_empty):
            states, _ = pad_packed_sequence(self.recurrent(pack_sequence(sequences, enforce_sorted=False))[0])
            is_padding = (torch.arange(len(states))[:, None] >= lengths[non_empty])[..., None]
            mean = states.sum(0) / lengths[non_empty, None]
            maximum = states.masked_fill(is_padding, -1).amax(0)
            features = features.index_copy(0, non_empty, maximum + mean)
        return self.dropout(features)[None]
