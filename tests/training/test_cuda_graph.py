"""Training steps as CUDA graphs; skipped without a GPU."""

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
    """The losses of three epochs and the weights after them; a resumed `TrainStep` runs from `interrupted_after` on."""
    device = torch.device(device)
    network_class, network_params = NETWORKS[name]
    set_determinism(PARAMS, device)
    sizes = Sizes(WORDS - 10, 20, 2, 8, 3)
    network = network_class(sizes, ModelParams("tanh", "trained", dropout, dropout, 2), network_params)
    if name == "mlp":
        network.pair_vectors.keys.copy_(torch.tensor([1, 2 << 32 | 5]))
    network.to(device).train()
    subword_ids = Ragged(np.arange(2 * WORDS, dtype=np.int32) % 20, np.arange(0, 2 * WORDS + 1, 2))
    step, loader = TrainStep(network, labelled, PARAMS), BatchLoader(labelled, subword_ids, device)
    sampler = [np.arange(first, min(first + 32, TITLES)) for first in range(0, TITLES, 32)] * 3
    losses = []
    for index, (batch, labels) in enumerate(loader.iterate(network, sampler)):
        if index == interrupted_after:
            state = io.BytesIO()
            torch.save(step.state_dict(), state)
            state.seek(0)
            step = TrainStep(network, labelled, PARAMS)
            step.load_state_dict(torch.load(state, map_location="cpu", weights_only=True))
        losses.append(float(step(batch, labels, len(labels))))
    weights = {name: weight.cpu() for name, weight in network.state_dict().items() if "tracked" not in name}
    return losses, weights


@pytest.mark.parametrize("name", NETWORKS)
def test_a_gpu_trains_the_same_network_as_the_cpu(name, labelled, monkeypatch):
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
    (losses, weights), (expected_losses, expected) = (trained(name, labelled, device) for device in ("cuda", "cpu"))
    assert losses == pytest.approx(expected_losses, rel=1e-3)
    torch.testing.assert_close(weights, expected, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_training_resumes_from_a_state_dict(name, labelled):
    expected, _ = trained(name, labelled, "cuda", dropout=0.5)
    losses, _ = trained(name, labelled, "cuda", dropout=0.5, interrupted_after=17)
    assert losses == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_dropout_differs_between_steps_and_not_between_runs(name, labelled):
    (losses, _), (again, _) = (trained(name, labelled, "cuda", dropout=0.5) for _ in range(2))
    assert losses == pytest.approx(again, rel=1e-3)
    (other, _) = trained(name, labelled, "cuda", dropout=0.4)
    assert losses != pytest.approx(other, rel=1e-3)
