import json
from itertools import chain

import numpy as np
import onnx
import onnx_ir
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnxruntime import InferenceSession

from titles.core.errors import InputError
from titles.data.encoded_dataset import Vocabulary
from titles.data.ragged import Ragged
from titles.inference.predict import iter_probabilities
from titles.nn.hparams import ACTIVATIONS, CnnParams, MlpParams, ModelParams
from titles.nn.networks import CNN, MLP
from titles.nn.word_embedding import Sizes
from titles.onnx.graph import build_model
from titles.onnx.inputs import model_inputs

SIZES = {"vocabulary": 5, "buckets": 10, "bigrams": 2, "dimension": 12, "categories": 4}
NETWORKS = {"mlp": (MLP, MlpParams(2, 7, 4)), "cnn": (CNN, CnnParams(5, 1, 3))}
TITLES = [[0, 1, 2, 3, 4, 0], [], [7], [4, 6], [1, 5, 7, 1], [3, 0] * 32]

both_networks = pytest.mark.parametrize("name", NETWORKS)


def ragged(rows):
    return Ragged(np.array(list(chain(*rows)), np.int32), np.cumsum([0, *map(len, rows)]))


# Word ids from 5 on are out of the vocabulary; the last has no subwords.
SUBWORD_IDS = ragged([[], [], [], [], [], [6, 0], [9, 1, 1], []])


def build(name, own=None, activation="relu", embeddings="trained", ensemble_size=2, **sizes):
    """A network in eval mode, with weights large enough for any error to show in its probabilities."""
    torch.manual_seed(0)
    cls, default = NETWORKS[name]
    network = cls(Sizes(**SIZES | sizes), ModelParams(activation, embeddings, 0.5, 0.5, ensemble_size), own or default)
    for weight in network.parameters():
        weight.data.normal_(std=0.5)
    network.word_vectors.normalise.running_mean.normal_()
    network.word_vectors.normalise.running_var.uniform_(0.5, 2)
    network.word_vectors.precomputed = True
    network.temperature.fill_(1.7)
    network.calibration_bias.normal_()
    if name == "mlp":
        # The bigrams of words 1 and 2, and of 3 and 0.
        network.pair_vectors.keys.copy_(torch.tensor([1 << 32 | 2, 3 << 32])[: sizes.get("bigrams")])
    return network.eval()


def exported(network):
    counts = list(range(1, network.output.bias.shape[2] + 1))
    vocabulary = Vocabulary(["a", "b", "c", "d"], counts, [3], 10, ["v"] * SIZES["vocabulary"])
    model = onnx_ir.to_proto(build_model(network, vocabulary, "accuracy"))
    onnx.checker.check_model(model)
    return InferenceSession(model.SerializeToString())


def check(network, session, titles, subword_ids=SUBWORD_IDS):
    """Assert that the graph returns the probabilities of the network."""
    expected = torch.cat(
        [probs["network"] for _, probs in iter_probabilities({"network": network}, ragged(titles), subword_ids)]
    )
    (found,) = session.run(None, model_inputs(ragged(titles), subword_ids, len(network.word_vectors.own.weight)))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)


@pytest.fixture(scope="module", params=NETWORKS)
def both(request):
    network = build(request.param)
    return network, exported(network)


@pytest.mark.parametrize(
    "titles",
    [TITLES, [[0, 1]], [[0], [4, 4]], [[7], [5, 6]], [[]], [[], []], [[], [1]]],
    ids=[
        "all kinds",
        "one",
        "vocabulary words",
        "out-of-vocabulary words",
        "no words",
        "several without words",
        "one without words",
    ],
)
def test_the_graph_returns_the_probabilities_of_the_network(both, titles):
    check(*both, titles)


class Recurrent(CNN):
    """A network that `titles.onnx.graph` does not define."""


def test_a_network_of_another_class_is_refused(monkeypatch):
    monkeypatch.setitem(NETWORKS, "recurrent", (Recurrent, NETWORKS["cnn"][1]))
    with pytest.raises(
        InputError, match="a network of the class Recurrent cannot be exported to ONNX, only MLP and CNN"
    ):
        exported(build("recurrent"))


@both_networks
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_is_exported(name, activation):
    network = build(name, activation=activation)
    check(network, exported(network), TITLES)


@both_networks
@pytest.mark.parametrize("ensemble_size", [1, 3])
def test_any_ensemble_size_is_exported(name, ensemble_size):
    network = build(name, ensemble_size=ensemble_size)
    check(network, exported(network), TITLES)


@both_networks
def test_a_network_without_subwords_is_exported(name):
    network = build(name, buckets=0)
    check(network, exported(network), TITLES, ragged([[]] * 8))


@both_networks
def test_a_network_without_a_vocabulary_is_exported(name):
    network = build(name, vocabulary=0, bigrams=0)
    check(network, exported(network), [[0, 1], [], [2]], ragged([[6, 0], [9, 1, 1], []]))


@both_networks
def test_frozen_embeddings_are_exported(name):
    network = build(name, embeddings="frozen")
    check(network, exported(network), TITLES)


def test_a_network_without_bigrams_is_exported():
    network = build("mlp", bigrams=0)
    check(network, exported(network), TITLES)


@pytest.mark.parametrize("hidden_layers", [0, 1, 3])
def test_any_number_of_hidden_layers_is_exported(hidden_layers):
    network = build("mlp", MlpParams(hidden_layers, 5, 4))
    check(network, exported(network), TITLES)


@pytest.mark.parametrize(("smallest", "largest"), [(1, 1), (2, 2), (4, 4), (2, 4)])
def test_any_kernel_sizes_are_exported(smallest, largest):
    network = build("cnn", CnnParams(3, smallest, largest))
    check(network, exported(network), TITLES)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.integers(0, 7), max_size=6), min_size=1, max_size=6))
def test_any_titles_get_the_probabilities_of_the_network(both, titles):
    check(*both, titles)


def test_more_padding_changes_nothing(both):
    session = both[1]
    inputs = model_inputs(ragged(TITLES), SUBWORD_IDS, 5)
    wider = {key: np.pad(array, [(0, 0), (0, 3)], constant_values=-1) for key, array in inputs.items()}
    np.testing.assert_allclose(session.run(None, wider)[0], session.run(None, inputs)[0], rtol=1e-5, atol=1e-7)


def test_the_model_has_metadata_and_named_inputs_and_outputs(both):
    network, session = both
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata["network"] == type(network).__name__
    assert json.loads(metadata["vocabulary"])["categories"] == ["a", "b", "c", "d"]
    assert [(one.name, one.type, one.shape) for one in session.get_inputs()] == [
        ("words", "tensor(int64)", ["titles", "longest"]),
        ("subwords", "tensor(int64)", ["unknown_words", "most_ngrams"]),
    ]
    assert [(one.name, one.type, one.shape) for one in session.get_outputs()] == [
        ("probabilities", "tensor(float)", ["titles", 4])
    ]
