"""Training with several processes, started by torchrun."""

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
NETWORK_PARAMS = {"mlp": MlpParams(1, 8, 4), "cnn": CnnParams(4, 1, 2)}
# Dropout differs from process to process.
MODEL = ModelParams("tanh", "trained", dropout=0.0, word_dropout=0.0, ensemble_size=2)
# 65 titles in batches of 8: the last batch has one title, so that the second process has none of it.
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


def fit_both(root, models_dir):
    """Train both networks; return the history of each."""
    return {
        name: fit(
            name, root / "embedded", root / "vectors.npy", root / models_dir / name, MODEL, NETWORK_PARAMS[name], TRAIN
        )
        for name in NETWORK_PARAMS
    }


@pytest.mark.parametrize("name", NETWORK_PARAMS)
def test_two_processes_train_the_same_network_as_one(root, name):
    expected = fit(
        name, root / "embedded", root / "vectors.npy", root / "one" / name, MODEL, NETWORK_PARAMS[name], TRAIN
    )
    history = np.genfromtxt(root / "two" / name / "history.csv", delimiter=",", names=True)
    for column in EpochMetrics.__dataclass_fields__:
        np.testing.assert_allclose(history[column], [getattr(epoch, column) for epoch in expected], atol=2e-5)
    weights, expected_weights = (load_file(root / folder / name / "weights.safetensors") for folder in ("two", "one"))
    batch_count = "word_vectors.normalise.num_batches_tracked"
    del weights[batch_count], expected_weights[batch_count]
    torch.testing.assert_close(weights, expected_weights, rtol=1e-4, atol=1e-5)


def test_one_process_writes_the_model_and_removes_the_checkpoint(root):
    assert {path.name for path in (root / "two").iterdir()} == {*NETWORK_PARAMS, ".checkpoints"}
    assert not [*(root / "two" / ".checkpoints").glob("*/*")]


def test_a_single_process_has_rank_0_of_1(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    rows = torch.arange(3)
    assert (distributed.rank(), distributed.world_size()) == (0, 1)
    assert distributed.all_gather(rows) == [rows]
    assert distributed.all_reduce(rows) is rows


if __name__ == "__main__":
    fit_both(Path(sys.argv[1]), "two")
