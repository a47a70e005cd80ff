from itertools import chain

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st

from titles.batch import Batch
from titles.hyperparameters import ModelParams
from titles.lookup import Table, sum_words
from titles.ragged import Ragged

MODEL = ModelParams("relu", "trained", dropout=0.0, word_dropout=0.0, members=1)
ROWS = 6
BAGS = st.lists(st.lists(st.integers(0, ROWS - 1), max_size=5), min_size=1, max_size=5)


def ragged(rows):
    return Ragged(np.array(list(chain(*rows)), np.int32), np.cumsum([0, *map(len, rows)]))


def by_torch(weight, numbers, offsets):
    return F.embedding_bag(numbers, weight, offsets, mode="sum", include_last_offset=True)


def gradient(sums, weight):
    """Of a loss that weighs every number differently."""
    weights = torch.arange(1.0, 1 + sums.numel()).view_as(sums)
    return torch.autograd.grad((sums * weights).sum(), weight)[0]


@settings(deadline=None, max_examples=50)
@given(BAGS)
@example([[]])
def test_a_table_sums_as_torch_does_and_its_gradient_has_every_row_once(bags):
    torch.manual_seed(0)
    table = Table(ROWS, 3, MODEL)
    table.weight.data.normal_()
    numbers, offsets = torch.from_numpy(ragged(bags).values).long(), torch.from_numpy(ragged(bags).offsets)
    sums, expected = table(numbers, offsets), by_torch(table.weight, numbers, offsets)
    torch.testing.assert_close(sums, expected)
    found = gradient(sums, table.weight)
    assert found._indices()[0].tolist() == sorted(set(numbers.tolist()))
    torch.testing.assert_close(found.to_dense(), gradient(expected, table.weight))


@settings(deadline=None, max_examples=50)
@given(BAGS)
@example([[]])
def test_words_are_summed_as_torch_does(titles):
    torch.manual_seed(0)
    batch = Batch.of(ragged(titles), ragged([[]] * ROWS))
    vectors = torch.randn(len(batch.words), 3, requires_grad=True)
    sums, expected = sum_words(vectors, batch, batch.offsets), by_torch(vectors, batch.places, batch.offsets)
    torch.testing.assert_close(sums, expected)
    torch.testing.assert_close(gradient(sums, vectors), gradient(expected, vectors))


def test_rows_looked_up_have_themselves_as_gradient():
    table = Table(ROWS, 2, MODEL)
    found = torch.autograd.grad(table.rows(torch.tensor([1, 4])).sum(), table.weight)[0]
    assert (found._indices().tolist(), found._values().tolist()) == ([[1, 4]], [[1, 1], [1, 1]])
