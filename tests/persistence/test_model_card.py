import hashlib
import json
import re
from dataclasses import replace

import pytest
import yaml

from tests.numbered import write_numbered
from titles.nn.hparams import CnnParams, MlpParams, ModelParams, TrainParams
from titles.persistence.model_card import DESCRIPTIONS
from titles.persistence.model_folder import NETWORKS
from titles.training.fit import fit

MODEL = ModelParams("relu", "trained", dropout=0.0, word_dropout=0.0, ensemble_size=2)
TRAIN = TrainParams(0, 1, 8, 1, 8, 8, 0.05, 0.0, 0.0, False, "accuracy")
NETWORK_PARAMS = {"mlp": MlpParams(1, 8, 4), "cnn": CnnParams(4, 1, 2)}


@pytest.fixture(scope="module", params=NETWORK_PARAMS)
def model(request, tmp_path_factory):
    """A model folder, of titles of a file with an unusual name."""
    root = tmp_path_factory.mktemp(request.param)
    write_numbered(root, train=1200, validation=140)
    (root / "embedded" / "sources.csv").write_text('file,split,bytes,md5\n"año ""1"" | train.csv",train,1234,0f\n')
    params = NETWORK_PARAMS[request.param]
    train = replace(TRAIN, batch_size=32)
    fit(request.param, root / "embedded", root / "vectors.npy", root / request.param, MODEL, params, train)
    return root / request.param


@pytest.fixture(scope="module")
def card(model):
    return (model / "README.md").read_text(encoding="utf-8")


def test_its_front_matter_has_the_metrics_of_the_epoch_of_the_weights(model, card):
    front_matter = yaml.safe_load(card.split("---\n")[1])
    (index,) = front_matter["model-index"]
    (result,) = index["results"]
    epoch = json.loads((model / "network.json").read_text())["epoch"]
    row = (model / "history.csv").read_text().splitlines()[epoch].split(",")
    metrics = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert [metrics["accuracy"], metrics["balanced_accuracy"]] == [float(value) for value in row[4:6]]
    assert index["name"] == model.name
    assert result["dataset"]["name"] == 'año "1" | train.csv'


def test_it_describes_the_training_data(card):
    assert '| año "1" &#124; train.csv | train | 1,234 | `0f` |' in card
    assert "The training data are 1,200 distinct titles; 0 of them were excluded" in card
    assert "chosen on 140 other titles" in card
    assert (
        "The vocabulary has 40 words. All other words are represented by their character n-grams, n from 3 to" in card
    )


def test_it_has_every_parameter_of_the_training(card):
    assert "| `train.learning_rate` | `0.05` |" in card
    assert '| `model.activation` | `"relu"` |' in card


@pytest.mark.parametrize(
    ("min_steps", "expected"),
    [
        # The 15 titles make 2 batches.
        (
            19,
            "Epoch {} of 10 (`train.epochs` is 8; with so few titles, more epochs are needed for `train.min_steps`, "
            "19), on",
        ),
        (16, "Epoch {}, on"),
    ],
)
def test_it_explains_more_epochs_than_were_requested(tmp_path, min_steps, expected):
    write_numbered(tmp_path, train=15, validation=10)
    params = replace(TRAIN, min_steps=min_steps)
    fit("mlp", tmp_path / "embedded", tmp_path / "vectors.npy", tmp_path / "mlp", MODEL, NETWORK_PARAMS["mlp"], params)
    epoch = json.loads((tmp_path / "mlp" / "network.json").read_text())["epoch"]
    assert expected.format(epoch) in (tmp_path / "mlp" / "README.md").read_text()


def test_every_network_has_a_description():
    assert DESCRIPTIONS.keys() == NETWORKS.keys()


def test_its_thresholds_are_those_of_the_model(model, card):
    thresholds = json.loads((model / "network.json").read_text())["thresholds"]
    # The label depends on the first of three words, and a bag of words has no order.
    assert [one["accuracy"] for one in thresholds] == {"cnn": [0.9, 0.95], "mlp": []}[model.name]
    assert ("confidence of 95%" in card, "There are no thresholds" in card) == (bool(thresholds), not thresholds)
    for one in thresholds:
        row = [one[key] for key in ("accuracy", "score", "titles", "correct", "share")]
        assert f"| {' | '.join(map(str, row))} |" in card


def test_its_hashes_are_those_of_the_files(model, card):
    hashes = dict(re.findall(r"^\| (\S+) \| `([0-9a-f]{64})` \|$", card, re.MULTILINE))
    assert hashes == {
        name: hashlib.sha256((model / name).read_bytes()).hexdigest()
        for name in ("weights.safetensors", "vocabulary.json", "network.json")
    }
