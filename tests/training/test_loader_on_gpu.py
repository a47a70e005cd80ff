"""What a GPU makes of many batches at once teaches a network what the CPU's batches do. Without a GPU, on the CPU."""

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
WORDS, VOCABULARY = 8, 5
TITLES = st.lists(st.lists(st.integers(0, WORDS - 1), max_size=4), min_size=1, max_size=12)
PAIRS = [1 << 32 | 2, 2 << 32 | 2, 4 << 32 | 0]


def ragged(rows):
    return Ragged(np.array(list(chain(*rows)), np.int32), np.cumsum([0, *map(len, rows)]))


# Word 3 is spelled of nothing, two others alike.
SPELLING = ragged([[0, 1], [2], [1, 1], [], [3, 0, 2], [0, 1], [4], [2, 4, 4]])


def network(kind, own, pairs, buckets):
    torch.manual_seed(0)
    # Of two words alone the normalisation makes much of what floats are off.
    made = kind(Sizes(VOCABULARY, buckets, len(pairs), 4, 3), MODEL, own).double()
    if kind is MLP:
        made.pair_vectors.keys.copy_(torch.tensor(pairs, dtype=torch.int64))
        torch.nn.init.normal_(made.pair_vectors.table.weight)
    return made


def learnt(network, batch, labels):
    """The loss, and by name what a step would change, and the running statistics."""
    network = deepcopy(network).train().to(labels.device)
    logits = network(batch)
    loss = sum(torch.nn.functional.cross_entropy(of_member, labels, reduction="sum") for of_member in logits)
    loss.backward()
    found = {name: numbers.detach() for name, numbers in network.named_buffers() if "tracked" not in name}
    for name, weight in network.named_parameters():
        # A table without rows has no gradient.
        found[name] = torch.zeros_like(weight) if weight.grad is None else weight.grad
        if found[name].is_sparse:
            (rows,), values = weight.grad._indices(), weight.grad._values()
            there = rows < len(weight)
            assert not values[~there].any()
            found[name] = torch.zeros_like(weight).index_add_(0, rows[there], values[there])
    return {name: numbers.cpu() for name, numbers in found.items()} | {"loss": loss.detach().cpu()}


@settings(deadline=None, max_examples=10)
@given(TITLES, st.integers(1, 5), st.sampled_from([[], PAIRS]), st.booleans(), st.booleans(), st.randoms())
@example([[]], 1, PAIRS, True, True, None)
@example([[7]], 1, PAIRS, True, True, None)
@example([[1, 2], [], [], [2, 2, 1], []], 2, PAIRS, True, False, None)
def test_batches_made_many_at_a_time_teach_what_batches_made_one_by_one_do(
    titles, size, pairs, are_spelled, are_resident, random
):
    order = np.arange(len(titles))
    if random:
        random.shuffle(order)
    # Of several processes one may have no title of the last batch.
    groups = [order[first : first + size] for first in range(0, len(order), size)] + [order[:0]]
    labelled = LabelledDataset(ragged(titles), np.arange(len(titles), dtype=np.int32) % 3, np.zeros(len(titles), bool))
    spelling, buckets = (SPELLING, 5) if are_spelled else (ragged([[]] * WORDS), 0)
    with mock.patch.object(torch.cuda, "mem_get_info", lambda _: (1 << 30 if are_resident else 0, 1 << 30)):
        many = GpuBatchLoader(labelled, spelling, DEVICE)
    assert bool(many.resident) == are_resident
    one_by_one = BatchLoader(labelled, spelling, torch.device("cpu"))
    for kind, own in (MLP, MlpParams(1, 8, 4)), (CNN, CnnParams(4, 1, 3)):
        taught = network(kind, own, pairs, buckets)
        made = zip(many.iterate(taught, groups), one_by_one.iterate(taught, groups), strict=True)
        for (batch, labels), (expected_batch, expected_labels) in made:
            assert labels.tolist() == expected_labels.tolist()
            expected = learnt(taught, expected_batch, expected_labels)
            torch.testing.assert_close(learnt(taught, batch, labels), expected, rtol=1e-6, atol=1e-9)


def test_batches_have_the_same_shapes_though_their_titles_have_not_as_many_words():
    titles = [[0, 1, 2, 3]] * 40 + [[0, 1]] * 80
    labelled = LabelledDataset(ragged(titles), np.zeros(len(titles), np.int32), np.zeros(len(titles), bool))
    groups = [np.arange(first, first + 40) for first in (0, 40, 80)]
    for kind, own in (MLP, MlpParams(1, 8, 4)), (CNN, CnnParams(4, 1, 3)):
        with mock.patch.object(torch.cuda, "mem_get_info", lambda _: (1 << 30, 1 << 30)):
            made = GpuBatchLoader(labelled, SPELLING, DEVICE).iterate(network(kind, own, PAIRS, 5), groups)
        assert len({batch.words.bags.indices.shape for batch, _ in made}) == 1


def test_a_stretch_has_batches_of_one_size_and_no_more_titles_than_are_made_at_a_time(monkeypatch):
    monkeypatch.setattr(loader, "CHUNK_TITLES", 10)
    groups = [np.arange(4)] * 5 + [np.arange(1)]
    assert [[len(rows) for rows in stretch] for stretch in loader.chunk_batches(groups)] == [[4, 4], [4, 4], [4], [1]]
    assert [len(stretch) for stretch in loader.chunk_batches([np.arange(50)] * 2)] == [1, 1]
