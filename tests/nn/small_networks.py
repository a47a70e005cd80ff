"""Small networks of both kinds, and titles of word ids for them."""

from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from torch import nn

from titles.data.batch import WordBatch
from titles.data.ragged import Ragged
from titles.nn.hparams import CnnParams, MlpParams, ModelParams
from titles.nn.networks import CNN, MLP, predict
from titles.nn.word_embedding import Sizes

SIZES = Sizes(vocabulary=5, buckets=10, bigrams=2, dimension=6, categories=4)
MEMBERS = 2
# The bigrams (1, 2) and (3, 0).
BIGRAMS = [1 << 32 | 2, 3 << 32]
NETWORKS = {"mlp": (MLP, MlpParams(2, 7, 4)), "cnn": (CNN, CnnParams(5, 1, 3))}
TITLES = [[0, 1, 2, 3, 4, 0], [], [7], [4, 6], [1, 5, 7, 1]]
TITLE = st.lists(st.integers(0, 7), max_size=6)

both_networks = pytest.mark.parametrize("name", NETWORKS)


def ragged(rows):
    return Ragged(np.array(list(chain(*rows)), np.int32), np.cumsum([0, *map(len, rows)]))


# Words 5 to 7 are outside the vocabulary, and word 7 has no subwords.
SUBWORD_IDS = ragged([[0, 1], [2], [3, 4, 5], [1], [], [6, 0], [9], []])


def words_of(titles, subword_ids=SUBWORD_IDS, vocabulary=SIZES.vocabulary):
    titles = ragged(titles)
    return WordBatch.from_ids(titles.values, titles.offsets, subword_ids, vocabulary)


def model_params(activation="relu", embeddings="trained", dropout=0.0, word_dropout=0.0, members=MEMBERS):
    return ModelParams(activation, embeddings, dropout, word_dropout, members)


def build(name, **params):
    """A network with word vectors, statistics and biases so large that any error shows in the logits."""
    torch.manual_seed(0)
    network_class, network_params = NETWORKS[name]
    network = network_class(SIZES, model_params(**params), network_params)
    for path, weight in network.named_parameters():
        if "word_vectors" in path or "bias" in path:
            weight.data.normal_()
        if "pair_vectors" in path:
            weight.data.normal_()
    if name == "mlp":
        network.pair_vectors.keys.copy_(torch.tensor(BIGRAMS))
    network.word_vectors.normalise.running_mean.normal_()
    network.word_vectors.normalise.running_var.uniform_(0.5, 2)
    return network


class IdentityNorm(nn.Module):
    def forward(self, vectors, *_):
        return vectors


def without_normalisation(vectors):
    vectors.normalise = IdentityNorm()
    return vectors


def statistics(network):
    return [buffer.clone() for buffer in network.word_vectors.normalise.buffers()]


def all_equal(first, second):
    return all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def logits(network, titles, batch_size=1024):
    return torch.cat(list(predict(network, ragged(titles), SUBWORD_IDS, batch_size)))
