"""Steps on a GPU, where there is one."""

import io

import numpy as np
import pytest
import torch

from titles.data.encoded_dataset import LabelledDataset
from titles.data.ragged import Ragged
from titles.nn.hparams import CnnParams, MlpParams, ModelParams, TrainParams
from titles.nn.networks import CNN, MLP
from titles.nn.word_embedding import Sizes
from titles.training.loader import BatchLoader
from titles.training.train_step import TrainStep, set_determinism

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
PARAMS = TrainParams(0, 1, 3, 1, 4, 32, 0.02, 0.01, 0.1, False, "balanced_accuracy")
WORDS, TITLES = 50, 330
NETWORKS = {"mlp": (MLP, MlpParams(1, 8, 4)), "cnn": (CNN, CnnParams(4, 1, 3))}


@pytest.fixture
def labelled():
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, 9, TITLES)
    words = rng.integers(0, WORDS, lengths.sum()).astype(np.int32)
    labels = rng.integers(0, 3, TITLES).astype(np.int32)
    return LabelledDataset(Ragged(words, np.cumsum([0, *lengths])), labels, np.zeros(TITLES, bool))


def trained(name, labelled, device, dropout=0.0, interrupted_after=None):
    """The losses of three epochs and the weights after them; from step `interrupted_after` on by another `Step`."""
    device = torch.device(device)
    kind, own = NETWORKS[name]
    set_determinism(PARAMS, device)
    sizes = Sizes(WORDS - 10, 20, 2, 8, 3)
    network = kind(sizes, ModelParams("tanh", "trained", dropout, dropout, 2), own)
    if name == "mlp":
        network.pair_vectors.keys.copy_(torch.tensor([1, 2 << 32 | 5]))
    network.to(device).train()
    spelling = Ragged(np.arange(2 * WORDS, dtype=np.int32) % 20, np.arange(0, 2 * WORDS + 1, 2))
    step, batches = TrainStep(network, labelled, PARAMS), BatchLoader(labelled, spelling, device)
    groups = [np.arange(first, min(first + 32, TITLES)) for first in range(0, TITLES, 32)] * 3
    losses = []
    for number, (batch, labels) in enumerate(batches.iterate(network, groups)):
        if number == interrupted_after:
            state = io.BytesIO()
            torch.save(step.state_dict(), state)
            state.seek(0)
            step = TrainStep(network, labelled, PARAMS)
            step.load_state_dict(torch.load(state, map_location="cpu", weights_only=True))
        losses.append(float(step(batch, labels, len(labels))))
    weights = {name: weight.cpu() for name, weight in network.state_dict().items() if "tracked" not in name}
    return losses, weights


@pytest.mark.parametrize("name", NETWORKS)
def test_a_gpu_trains_the_network_that_the_cpu_trains(name, labelled, monkeypatch):
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
    (losses, weights), (expected_losses, expected) = (trained(name, labelled, device) for device in ("cuda", "cpu"))
    assert losses == pytest.approx(expected_losses, rel=1e-3)
    torch.testing.assert_close(weights, expected, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_training_goes_on_from_what_was_saved(name, labelled):
    expected, _ = trained(name, labelled, "cuda", dropout=0.5)
    losses, _ = trained(name, labelled, "cuda", dropout=0.5, interrupted_after=17)
    assert losses == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_left_out_at_random_differs_from_step_to_step_and_not_from_run_to_run(name, labelled):
    (losses, _), (again, _) = (trained(name, labelled, "cuda", dropout=0.5) for _ in range(2))
    assert losses == pytest.approx(again, rel=1e-3)
    (other, _) = trained(name, labelled, "cuda", dropout=0.4)
    assert losses != pytest.approx(other, rel=1e-3)
