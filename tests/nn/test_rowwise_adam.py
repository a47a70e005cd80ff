import torch
from torch import nn

from titles.nn.rowwise_adam import RowwiseAdam


def table_with_gradient(rows, values, size=4):
    table = nn.Parameter(torch.zeros(size, 2))
    table.grad = torch.sparse_coo_tensor(torch.tensor([rows]), torch.tensor(values), (size, 2), check_invariants=False)
    return table


def test_the_first_step_has_the_size_of_the_learning_rate_whatever_the_scale_of_the_gradient():
    table = table_with_gradient([1, 3], [[3.0, 3.0], [-0.01, 0.01]])
    RowwiseAdam([table], lr=0.5).step()
    torch.testing.assert_close(table.data, torch.tensor([[0, 0], [-0.5, -0.5], [0, 0], [0.5, -0.5]]), rtol=1e-5, atol=0)


def test_the_gradient_of_a_row_is_divided_by_its_root_mean_square():
    table = table_with_gradient([2], [[3.0, 4.0]])
    RowwiseAdam([table], lr=1.0).step()
    torch.testing.assert_close(table.data[2], -torch.tensor([3.0, 4.0]) / 12.5**0.5)


def test_the_second_step_divides_by_the_bias_corrected_second_moment():
    table = table_with_gradient([0], [[1.0, 1.0]])
    optimizer = RowwiseAdam([table], lr=1.0)
    optimizer.step()
    table.grad = table.grad * 3
    optimizer.step()
    mean_square = (0.999 * 0.001 * 1 + 0.001 * 9) / (1 - 0.999**2)
    torch.testing.assert_close(table.data[0], -torch.ones(2) * (1 + 3 / mean_square**0.5))
