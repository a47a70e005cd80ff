import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from titles.nn.hparams import ModelParams
from titles.training import fingerprint as module
from titles.training.fingerprint import describe, differences, fingerprint

MODEL = ModelParams("relu", "trained", dropout=0.3, word_dropout=0.2, ensemble_size=2)


@pytest.fixture
def described(tmp_path, monkeypatch):
    """Describes a training with the given settings; its inputs and code are copies in `tmp_path`."""
    shutil.copytree(module.PACKAGE, tmp_path / "titles")
    monkeypatch.setattr(module, "PACKAGE", tmp_path / "titles")
    files = [tmp_path / "bigrams.npy", tmp_path / "vectors.npy"]
    for index, file in enumerate(files):
        np.save(file, np.arange(index + 3))

    def describe_training(reverse=False, **settings):
        return describe(files[::-1] if reverse else files, {"model": MODEL, "network": "mlp"} | settings)

    return describe_training


def test_the_same_training_has_the_same_fingerprint(described):
    assert fingerprint(described()) == fingerprint(described(reverse=True))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({"network": "cnn"}, "network"), ({"model": replace(MODEL, ensemble_size=4)}, "model.ensemble_size")],
)
def test_the_fingerprint_depends_on_every_setting(described, settings, expected):
    assert differences(described(), described(**settings)) == expected
    assert fingerprint(described()) != fingerprint(described(**settings))


def test_the_fingerprint_depends_on_the_bytes_of_every_input(described, tmp_path):
    before = described()
    np.save(tmp_path / "bigrams.npy", np.arange(9))
    assert differences(before, described()) == "bigrams.npy"


def test_the_fingerprint_depends_on_versions(described, monkeypatch):
    before = described()
    monkeypatch.setattr(torch, "__version__", "2.99")
    assert differences(before, described()) == "torch"


def test_the_fingerprint_depends_on_the_code_that_computes_weights_and_on_no_other_code(described, tmp_path):
    before = described()
    for name in ("persistence/model_card", "core/progress", "stage"):
        (tmp_path / "titles" / f"{name}.py").write_text("# changed")
    assert described() == before
    for name in ("nn/fused_cross_entropy", "nn/networks", "training/suspect_labels", "training/trainer"):
        (tmp_path / "titles" / f"{name}.py").write_text("# changed")
    assert differences(before, described()) == (
        "nn/fused_cross_entropy.py, nn/networks.py, training/suspect_labels.py and 1 more"
    )
