import pytest
import torch

from titles.convolution import filtered, pooled


def random(*shape):
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("width", [1, 2, 3])
def test_a_filter_sees_the_places_of_its_window_side_by_side(width):
    torch.manual_seed(0)
    line, weight, bias = random(2, 9, 3), random(2, width * 3, 4), random(2, 1, 4)
    windows = torch.stack([line[:, place : place + width].flatten(1) for place in range(9 - width + 1)], 1)
    torch.testing.assert_close(filtered(line, weight, bias), torch.baddbmm(bias, windows, weight))
    assert torch.autograd.gradcheck(filtered, (line, weight, bias))


def test_a_title_has_of_each_filter_the_maximum_plus_the_mean_of_its_windows_or_zero_without_any():
    found = torch.tensor([[9.0], [1.0], [2.0], [6.0], [-4.0], [9.0]])
    windows, offsets = torch.tensor([1, 2, 3, 4]), torch.tensor([0, 3, 3, 4])
    assert pooled(found, windows, offsets).tolist() == [[6 + 3], [0], [-4 - 4]]


def test_the_gradient_of_what_is_pooled_goes_to_maxima_and_means():
    torch.manual_seed(0)
    windows, offsets = torch.tensor([1, 2, 3, 5, 6, 9]), torch.tensor([0, 3, 3, 5, 6, 6])
    assert torch.autograd.gradcheck(lambda found: pooled(found, windows, offsets), random(10, 4))
