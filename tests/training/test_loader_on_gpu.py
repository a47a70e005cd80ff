"""The batches that a GPU makes at once train a network like those of the CPU. Without a GPU, both run on the CPU."""

from copy import deepcopy
from itertools import chain
from unittest import mock

import numpy as np
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from titles.data.encoded_dataset import LabelledDataset
from titles.data.ragged import Ragged
from titles.nn.hparams import CnnParams, MlpParams, ModelParams
from titles.nn.networks import CNN, MLP
from titles.nn.word_embedding import Sizes
from titles.training import loader
from titles.training.loader import BatchLoader, GpuBatchLoader

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
MODEL = ModelParams("tanh", "trained", dropout=0.0, word_dropout=0.0, ensemble_size=2)
NETWORKS = [(MLP, MlpParams(1, 8, 4)), (CNN, CnnParams(4, 1, 3))]
WORDS, VOCABULARY = 8, 5
TITLES = st.lists(st.lists(st.integers(0, WORDS - 1), max_size=4), min_size=1, max_size=12)
BIGRAMS = [1 << 32 | 2, 2 << 32 | 2, 4 << 32 | 0]


def ragged(rows):
    return Ragged(np.array(list(chain(*rows)), np.int32), np.cumsum([0, *map(len, rows)]))


# Word 3 has no subwords, two others have the same.
SUBWORD_IDS = ragged([[0, 1], [2], [1, 1], [], [3, 0, 2], [0, 1], [4], [2, 4, 4]])


def build(network_class, network_params, bigrams, buckets):
    torch.manual_seed(0)
    # In float64, because batch norm over two words amplifies rounding errors.
    network = network_class(Sizes(VOCABULARY, buckets, len(bigrams), 4, 3), MODEL, network_params).double()
    if network_class is MLP:
        network.pair_vectors.keys.copy_(torch.tensor(bigrams, dtype=torch.int64))
        torch.nn.init.normal_(network.pair_vectors.table.weight)
    return network


def loss_and_gradients(network, batch, labels):
    """The loss, and by name the gradients and the running statistics."""
    network = deepcopy(network).train().to(labels.device)
    logits = network(batch)
    loss = sum(torch.nn.functional.cross_entropy(member, labels, reduction="sum") for member in logits)
    loss.backward()
    found = {name: buffer.detach() for name, buffer in network.named_buffers() if "tracked" not in name}
    for name, weight in network.named_parameters():
        # An embedding without rows has no gradient.
        found[name] = torch.zeros_like(weight) if weight.grad is None else weight.grad
        if found[name].is_sparse:
            (rows,), values = weight.grad._indices(), weight.grad._values()
            is_row = rows < len(weight)
            assert not values[~is_row].any()
            found[name] = torch.zeros_like(weight).index_add_(0, rows[is_row], values[is_row])
    return {name: tensor.cpu() for name, tensor in found.items()} | {"loss": loss.detach().cpu()}


@settings(deadline=None, max_examples=10)
@given(TITLES, st.integers(1, 5), st.sampled_from([[], BIGRAMS]), st.booleans(), st.booleans(), st.randoms())
@example([[]], 1, BIGRAMS, True, True, None)
@example([[7]], 1, BIGRAMS, True, True, None)
@example([[1, 2], [], [], [2, 2, 1], []], 2, BIGRAMS, True, False, None)
def test_batches_made_at_once_give_the_gradients_of_batches_made_one_by_one(
    titles, size, bigrams, has_subwords, is_resident, random
):
    order = np.arange(len(titles))
    if random:
        random.shuffle(order)
    # In distributed training a process may have no title of the last batch.
    sampler = [order[first : first + size] for first in range(0, len(order), size)] + [order[:0]]
    labelled = LabelledDataset(ragged(titles), np.arange(len(titles), dtype=np.int32) % 3, np.zeros(len(titles), bool))
    subword_ids, buckets = (SUBWORD_IDS, 5) if has_subwords else (ragged([[]] * WORDS), 0)
    with mock.patch.object(torch.cuda, "mem_get_info", lambda _: (1 << 30 if is_resident else 0, 1 << 30)):
        gpu_loader = GpuBatchLoader(labelled, subword_ids, DEVICE)
    assert bool(gpu_loader.resident) == is_resident
    cpu_loader = BatchLoader(labelled, subword_ids, torch.device("cpu"))
    for network_class, network_params in NETWORKS:
        network = build(network_class, network_params, bigrams, buckets)
        batches = zip(gpu_loader.iterate(network, sampler), cpu_loader.iterate(network, sampler), strict=True)
        for (batch, labels), (expected_batch, expected_labels) in batches:
            assert labels.tolist() == expected_labels.tolist()
            expected = loss_and_gradients(network, expected_batch, expected_labels)
            torch.testing.assert_close(loss_and_gradients(network, batch, labels), expected, rtol=1e-6, atol=1e-9)


def test_batches_of_titles_of_different_lengths_have_the_same_shapes():
    titles = [[0, 1, 2, 3]] * 40 + [[0, 1]] * 80
    labelled = LabelledDataset(ragged(titles), np.zeros(len(titles), np.int32), np.zeros(len(titles), bool))
    sampler = [np.arange(first, first + 40) for first in (0, 40, 80)]
    for network_class, network_params in NETWORKS:
        network = build(network_class, network_params, BIGRAMS, 5)
        with mock.patch.object(torch.cuda, "mem_get_info", lambda _: (1 << 30, 1 << 30)):
            batches = GpuBatchLoader(labelled, SUBWORD_IDS, DEVICE).iterate(network, sampler)
        assert len({batch.words.bags.indices.shape for batch, _ in batches}) == 1


def test_a_chunk_has_batches_of_one_size_and_at_most_chunk_titles(monkeypatch):
    monkeypatch.setattr(loader, "CHUNK_TITLES", 10)
    sampler = [np.arange(4)] * 5 + [np.arange(1)]
    assert [[len(rows) for rows in chunk] for chunk in loader.chunk_batches(sampler)] == [[4, 4], [4, 4], [4], [1]]
    assert [len(chunk) for chunk in loader.chunk_batches([np.arange(50)] * 2)] == [1, 1]
