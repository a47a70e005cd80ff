import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from titles.temperature import HIGHEST, best_temperature


def test_a_network_right_three_times_of_four_becomes_three_quarters_sure():
    logits, labels = torch.tensor([[5.0, 0.0]] * 4), torch.tensor([0, 0, 0, 1])
    sureness = (logits / best_temperature(logits, labels)).softmax(1)[:, 0]
    assert sureness.tolist() == pytest.approx([0.75] * 4, abs=1e-5)


@given(st.integers(0, 2**32 - 1), st.floats(0.3, 10), st.floats(1 / HIGHEST, HIGHEST))
def test_no_other_temperature_has_a_lower_loss(seed, scale, other):
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(20, 5, generator=generator)
    labels = torch.randint(5, (20,), generator=generator)
    best = best_temperature(logits, labels)
    assert F.cross_entropy(logits / best, labels) <= F.cross_entropy(logits / other, labels) + 1e-4


def test_titles_of_untrained_categories_are_left_out():
    logits, labels = torch.tensor([[9.0, 0.0]] * 4), torch.tensor([0, 0, 0, 1])
    with_untrained = best_temperature(torch.cat([logits, logits]), torch.cat([labels, torch.tensor([2, 2, 3, 9])]))
    assert with_untrained == best_temperature(logits, labels)


def test_without_titles_nothing_is_scaled():
    assert best_temperature(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)) == 1.0
    assert best_temperature(torch.zeros(1, 3), torch.tensor([3])) == 1.0
