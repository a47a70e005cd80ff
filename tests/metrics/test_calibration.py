import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from titles.metrics.calibration import MAX_TEMPERATURE, PRIOR_STDS, fit_calibration

EVEN = torch.tensor([0.5, 0.5]).log()


def test_an_accuracy_of_three_quarters_gives_a_mean_probability_of_three_quarters():
    logits, labels = torch.tensor([[5.0, 0.0]] * 4000), torch.tensor([0, 0, 0, 1] * 1000)
    found = fit_calibration(logits, labels, EVEN)
    probabilities = (logits / found.temperature).softmax(1)[:, 0]
    assert probabilities.mean().item() == pytest.approx(0.75, abs=1e-3)


def test_uninformative_logits_give_the_shares_as_probabilities():
    shares = torch.tensor([0.9, 0.1])
    labels = torch.tensor([0] * 9 + [1]).repeat(500)
    found = fit_calibration(torch.zeros(5000, 2), labels, shares.log())
    assert found.share_weight == pytest.approx(1, abs=1e-2)


@given(st.integers(0, 2**32 - 1), st.floats(0.3, 10), st.floats(0.2, MAX_TEMPERATURE), st.floats(-3, 3))
def test_no_other_temperature_and_share_weight_have_a_lower_loss(seed, scale, temperature, share_weight):
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(20, 5, generator=generator)
    labels = torch.randint(5, (20,), generator=generator)
    log_shares = torch.randn(5, generator=generator).log_softmax(0)

    def loss(temperature, share_weight):
        cross_entropy = F.cross_entropy(logits / temperature + share_weight * log_shares, labels, reduction="sum")
        point = np.array([1 / temperature, share_weight])
        return cross_entropy + (((point - 1) / PRIOR_STDS) ** 2).sum() / 2

    found = fit_calibration(logits, labels, log_shares)
    assert loss(found.temperature, found.share_weight) <= loss(temperature, share_weight) + 1e-3


def test_titles_of_untrained_categories_are_ignored():
    logits, labels = torch.tensor([[9.0, 0.0]] * 4), torch.tensor([0, 0, 0, 1])
    with_untrained = torch.cat([labels, torch.tensor([2, 2, 3, 9])])
    assert fit_calibration(torch.cat([logits, logits]), with_untrained, EVEN) == fit_calibration(logits, labels, EVEN)


@pytest.mark.parametrize("titles", [0, 1, 5])
def test_few_titles_change_the_calibration_little(titles):
    logits = torch.tensor([[12.0, 0.0]] * titles).view(-1, 2)
    found = fit_calibration(logits, torch.zeros(titles, dtype=torch.int64), torch.tensor([0.99, 0.01]).log())
    assert found.temperature == pytest.approx(1, abs=0.05)
    assert found.share_weight == pytest.approx(1, abs=0.05)


def test_without_titles_nothing_is_scaled():
    for logits, labels in ((torch.zeros(0, 2), []), (torch.zeros(1, 2), [3])):
        found = fit_calibration(logits, torch.tensor(labels, dtype=torch.int64), EVEN)
        assert (found.temperature, found.share_weight) == (1, 1)
