import pytest
import torch
import torch.nn.functional as F

from titles.nn.fused_cross_entropy import CHUNK_SIZE, cross_entropy


def layer(members=2, titles=5, features=3, categories=4, scale=1.0):
    torch.manual_seed(0)
    shapes = ((members, titles, features), (members, features, categories), (members, 1, categories))
    weights = [(torch.randn(shape, dtype=torch.float64) * scale).requires_grad_() for shape in shapes]
    return weights, torch.randint(categories, (titles,))


def uneven_target(categories=4):
    return torch.arange(1, categories + 1, dtype=torch.float64).softmax(0)


def by_torch(features, weight, bias, labels, label_smoothing, smoothing_target):
    logits = torch.baddbmm(bias, features, weight)
    one_hot = F.one_hot(labels.repeat(len(logits)), len(smoothing_target)).double()
    targets = (1 - label_smoothing) * one_hot + label_smoothing * smoothing_target
    return F.cross_entropy(logits.flatten(0, 1), targets, reduction="sum")


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("titles", [1, 5, CHUNK_SIZE, 2 * CHUNK_SIZE + 3])
def test_loss_and_gradients_equal_those_of_torch_for_any_number_of_chunks(titles, label_smoothing):
    weights, labels = layer(titles=titles)
    loss, expected = (
        function(*weights, labels, label_smoothing, uneven_target()) for function in (cross_entropy, by_torch)
    )
    torch.testing.assert_close(loss, expected)
    gradients, expected = (torch.autograd.grad(value / 7, weights) for value in (loss, expected))
    torch.testing.assert_close(gradients, expected)


def test_extreme_logits_have_a_finite_loss_and_the_gradients_of_torch():
    weights, labels = layer(scale=1e4)
    loss = cross_entropy(*weights, labels, 0.0, uneven_target())
    assert loss.isfinite()
    expected = torch.autograd.grad(by_torch(*weights, labels, 0.0, uneven_target()), weights)
    torch.testing.assert_close(torch.autograd.grad(loss, weights), expected)


def test_without_titles_loss_and_gradients_are_zero():
    weights, labels = layer(titles=0)
    loss = cross_entropy(*weights, labels, 0.0, uneven_target())
    assert loss == 0
    assert not any(gradient.any() for gradient in torch.autograd.grad(loss, weights))
