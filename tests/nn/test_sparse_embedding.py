from itertools import chain

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st

from titles.data.csr_bags import CSRBags
from titles.nn.hparams import ModelParams
from titles.nn.sparse_embedding import SparseEmbedding

MODEL = ModelParams("relu", "trained", dropout=0.0, word_dropout=0.0, ensemble_size=1)
ROWS = 6
BAGS = st.lists(st.lists(st.integers(0, ROWS - 1), max_size=5), min_size=1, max_size=5)


def bags_of(contents):
    return CSRBags.from_offsets(np.array(list(chain(*contents)), np.int32), np.cumsum([0, *map(len, contents)]))


def by_torch(weight, indices, bags):
    return F.embedding_bag(indices, weight, bags.offsets, mode="sum", include_last_offset=True)


def gradient(sums, weight):
    """The gradient of a loss in which every element has another weight."""
    weights = torch.arange(1.0, 1 + sums.numel()).view_as(sums)
    return torch.autograd.grad((sums * weights).sum(), weight)[0]


@settings(deadline=None, max_examples=50)
@given(BAGS)
@example([[]])
def test_sums_equal_those_of_torch_and_the_gradient_has_every_row_once(contents):
    torch.manual_seed(0)
    table, bags = SparseEmbedding(ROWS, 3, MODEL), bags_of(contents)
    table.weight.data.normal_()
    sums, expected = table(bags), by_torch(table.weight, bags.indices, bags)
    torch.testing.assert_close(sums, expected)
    actual = gradient(sums, table.weight)
    assert actual._indices()[0].tolist() == sorted(set(bags.indices.tolist()))
    torch.testing.assert_close(actual.to_dense(), gradient(expected, table.weight))


def test_the_gradient_of_rows_has_their_indices():
    table = SparseEmbedding(ROWS, 2, MODEL)
    actual = torch.autograd.grad(table.rows(torch.tensor([1, 4])).sum(), table.weight)[0]
    assert (actual._indices().tolist(), actual._values().tolist()) == ([[1, 4]], [[1, 1], [1, 1]])
