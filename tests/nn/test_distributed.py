"""Several processes, as torchrun starts them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.numbered import write_numbered
from tests.repository import SECONDS
from titles.metrics.history import EpochMetrics
from titles.nn import distributed
from titles.nn.hparams import CnnParams, MlpParams, ModelParams, TrainParams
from titles.training.fit import fit

ROOT = Path(__file__).resolve().parents[2]
OWN = {"mlp": MlpParams(1, 8, 4), "cnn": CnnParams(4, 1, 2)}
# What is left out at random differs from process to process.
MODEL = ModelParams("tanh", "trained", dropout=0.0, word_dropout=0.0, ensemble_size=2)
# Batches of 8 of 65 titles: of the last, which has one, the second process has no part.
TRAIN = TrainParams(0, 1, 3, 1, 4, 8, 0.02, 0.01, 0.1, False, "balanced_accuracy")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("processes")
    write_numbered(root, train=65, validation=31)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, "-m", "tests.nn.test_distributed", str(root)]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}/src:{ROOT}", "OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=SECONDS)
    return root


def fit_both(root, models):
    """Trains both networks; gives the history of each."""
    return {
        name: fit(name, root / "embedded", root / "vectors.npy", root / models / name, MODEL, OWN[name], TRAIN)
        for name in OWN
    }


@pytest.mark.parametrize("name", OWN)
def test_two_processes_train_the_network_that_one_trains(root, name):
    expected = fit(name, root / "embedded", root / "vectors.npy", root / "alone" / name, MODEL, OWN[name], TRAIN)
    history = np.genfromtxt(root / "together" / name / "history.csv", delimiter=",", names=True)
    for column in EpochMetrics.__dataclass_fields__:
        np.testing.assert_allclose(history[column], [getattr(epoch, column) for epoch in expected], atol=2e-5)
    weights, of_one = (load_file(root / models / name / "weights.safetensors") for models in ("together", "alone"))
    counted = "word_vectors.normalise.num_batches_tracked"
    del weights[counted], of_one[counted]
    torch.testing.assert_close(weights, of_one, rtol=1e-4, atol=1e-5)


def test_one_process_writes_and_takes_its_checkpoint_away(root):
    assert {path.name for path in (root / "together").iterdir()} == {*OWN, ".checkpoints"}
    assert not [*(root / "together" / ".checkpoints").glob("*/*")]


def test_a_process_of_its_own_is_the_first_of_one(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    rows = torch.arange(3)
    assert (distributed.rank(), distributed.world_size()) == (0, 1)
    assert distributed.all_gather(rows) == [rows]
    assert distributed.all_reduce(rows) is rows


if __name__ == "__main__":
    fit_both(Path(sys.argv[1]), "together")
