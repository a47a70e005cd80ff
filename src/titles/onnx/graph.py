"""Build the ONNX graph of a network, from the arrays of `titles.onnx.inputs` to the probabilities of the categories.

words            int64 [titles, longest]
subwords         int64 [out-of-vocabulary words, max n-grams]
probabilities    float32 [titles, categories]

The metadata of the model are the name of the network, the objective and, as JSON, the normalization rules of titles and
the vocabulary.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np
import onnx_ir as ir
import torch
from onnxscript import build_graph
from torch import Tensor, nn

from titles.core.errors import InputError
from titles.data.encoded_dataset import Vocabulary
from titles.nn.networks import CNN, LENGTH_POWER, MLP, BatchedLinear, Network
from titles.onnx.inputs import PADDING
from titles.text.normalization import RULES

IR_VERSION, OPSETS = 10, {"": 20, "ai.onnx.ml": 4}
FLOAT, INT = ir.DataType.FLOAT, ir.DataType.INT64
END = np.iinfo(np.int64).max


class Operators(Protocol):
    """The ONNX operators by name; a call adds a node to the graph and returns its output."""

    def __getattr__(self, name: str) -> Callable[..., ir.Value]: ...


ACTIVATIONS: dict[type[nn.Module], Callable[[Operators, ir.Value], ir.Value]] = {
    nn.ReLU: lambda op, values: op.Relu(values),
    nn.Sigmoid: lambda op, values: op.Sigmoid(values),
    nn.Tanh: lambda op, values: op.Tanh(values),
    nn.GELU: lambda op, values: op.Gelu(values),
    nn.SiLU: lambda op, values: op.Mul(values, op.Sigmoid(values)),
}


def build_model(network: Network, vocabulary: Vocabulary, objective: str) -> ir.Model:
    """Build the ONNX model of a trained MLP or CNN. Raise InputError for a network of another class."""
    if type(network) not in (MLP, CNN):
        raise InputError(
            f"a network of the class {type(network).__name__} cannot be exported to ONNX, only MLP and CNN"
        )
    inputs = [ir.val("words", INT, ["titles", "longest"]), ir.val("subwords", INT, ["unknown_words", "most_ngrams"])]
    output = ir.val("probabilities", FLOAT, ["titles", vocabulary.num_trained_categories])

    def trace(op: Operators, words: ir.Value, subwords: ir.Value) -> ir.Value:
        return _GraphBuilder(network, network.state_dict(), op, words, subwords).probabilities()

    graph = build_graph(trace, inputs, [output], opset_imports=OPSETS, name="titles")
    vocabulary_json = json.dumps(asdict(vocabulary), ensure_ascii=False)
    metadata = {"network": type(network).__name__, "objective": objective, "vocabulary": vocabulary_json}
    metadata["normalization"] = json.dumps(RULES)
    return ir.Model(graph, ir_version=IR_VERSION, producer_name="titles", metadata_props=metadata)


@dataclass(frozen=True)
class _GraphBuilder:
    """The forward pass of `network`: each method adds nodes to the graph and returns their output."""

    network: Network
    weights: dict[str, Tensor]
    op: Operators
    words: ir.Value
    subwords: ir.Value

    def probabilities(self) -> ir.Value:
        """The calibrated mean probabilities of the ensemble, [titles, categories]."""
        op, network = self.op, self.network
        padding = max(network.kernel_sizes) - 1
        vectors = self.word_vectors(op.Pad(self.words, [0, padding, 0, padding], PADDING))
        conv_features = self.text_conv(vectors, padding)
        features = self.mlp_features(network, vectors, conv_features) if isinstance(network, MLP) else conv_features
        logits = [self.linear("output", member, values) for member, values in enumerate(features)]
        if network.ensemble_size == 1:
            (combined,) = logits
        else:
            # As in `Network`, probabilities are clamped to the smallest normal float before the logarithm.
            sums = op.Sum(*(op.Softmax(values, axis=1) for values in logits))
            combined = op.Log(op.Max(sums, torch.finfo().tiny))
        scaled = op.Div(combined, network.temperature.item())
        return op.Softmax(op.Add(scaled, self.constant("calibration_bias", network.calibration_bias)), axis=1)

    def mlp_features(self, network: MLP, vectors: ir.Value, conv_features: Iterator[ir.Value]) -> Iterator[ir.Value]:
        """The features of each ensemble member of the MLP, [titles, features]."""
        op = self.op
        sums = [op.ReduceSum(values, [1], keepdims=0) for values in (vectors, self.bigram_vectors())]
        title = op.Div(op.Sum(*sums), op.Pow(op.Max(self.row_lengths(self.words), 1.0), LENGTH_POWER))
        for member, member_features in enumerate(conv_features):
            values = self.member_slice(title, member)
            for name, layer in network.hidden.named_children():
                if isinstance(layer, BatchedLinear):
                    values = self.linear(f"hidden.{name}", member, values)
                elif not isinstance(layer, nn.Dropout):
                    values = self.activate(values)
            yield op.Concat(values, member_features, axis=1)

    def text_conv(self, vectors: ir.Value, padding: int) -> Iterator[ir.Value]:
        """The max plus mean over windows of each member's filters, [titles, filters].

        `vectors` have `padding` more words at both ends.
        """
        op, network = self.op, self.network
        windows = [self.windows(kernel_size, padding) for kernel_size in network.kernel_sizes]
        has_words = op.Greater(self.row_lengths(self.words), 0.0)
        for member in range(network.ensemble_size):
            member_vectors, pooled = self.member_slice(vectors, member), []
            for index, (word_indices, is_valid, mean_weights) in enumerate(windows):
                inputs = self.weights[f"filters.{index}.weight"].shape[1]
                flat = op.Reshape(op.Gather(member_vectors, word_indices, axis=1), [0, 0, inputs])
                values = self.activate(self.linear(f"filters.{index}", member, flat))
                highest = op.ReduceMax(op.Where(is_valid, values, -np.inf), [1], keepdims=0)
                pooled.append(op.Add(highest, op.Squeeze(op.MatMul(mean_weights, values), [1])))
            yield op.Where(has_words, op.Concat(*pooled, axis=1), 0.0)

    def activate(self, values: ir.Value) -> ir.Value:
        return ACTIVATIONS[type(self.network.activation)](self.op, values)

    def windows(self, kernel_size: int, padding: int) -> tuple[ir.Value, ir.Value, ir.Value]:
        """All windows of `kernel_size` words, over titles with `padding` more words at both ends.

        Returns the word indices of each window, [windows, kernel_size]; whether a title has the window, [titles,
        windows, 1]; and the weight of the window in the title's mean, [titles, 1, windows].
        """
        op, longest = self.op, self.op.Squeeze(self.op.Shape(self.words, start=1, end=2))
        starts = op.Range(0, op.Add(longest, kernel_size - 1), 1)
        word_indices = op.Add(op.Unsqueeze(starts, [1]), list(range(padding + 1 - kernel_size, padding + 1)))
        counts = op.Add(self.row_lengths(self.words), kernel_size - 1.0)
        is_valid = op.Less(op.Cast(starts, to=FLOAT), counts)
        mean_weights = op.Div(op.Cast(is_valid, to=FLOAT), counts)
        return word_indices, op.Unsqueeze(is_valid, [2]), op.Unsqueeze(mean_weights, [1])

    def word_vectors(self, words: ir.Value) -> ir.Value:
        """The vector of every word; zeros for `PADDING`."""
        op, vocabulary = self.op, len(self.weights["word_vectors.own.weight"])
        in_vocabulary = op.Less(words, vocabulary)
        own = op.Gather(self.padded_table("word_vectors.own"), op.Where(in_vocabulary, words, PADDING))
        oov = op.Gather(self.subword_vectors(), op.Where(in_vocabulary, PADDING, op.Sub(words, vocabulary)))
        return op.Add(own, oov)

    def subword_vectors(self) -> ir.Value:
        """The vectors of the words of `subwords`, followed by one of zeros."""
        op, normalise = self.op, self.network.word_vectors.normalise
        sums = op.ReduceSum(op.Gather(self.padded_table("word_vectors.subwords"), self.subwords), [1], keepdims=0)
        vectors = op.Div(sums, op.Sqrt(op.Max(self.row_lengths(self.subwords), 1.0)))
        names = [f"word_vectors.normalise.{name}" for name in ("weight", "bias", "running_mean", "running_var")]
        statistics = [self.constant(name, self.weights[name]) for name in names]
        normalised = op.BatchNormalization(vectors, *statistics, epsilon=normalise.eps)
        return op.Concat(normalised, self.constant("zeros", torch.zeros(1, normalise.num_features)), axis=0)

    def bigram_vectors(self) -> ir.Value:
        """The vector of every bigram; zeros for a bigram without a vector."""
        op, keys = self.op, self.weights["pair_vectors.keys"].numpy()
        first, second = op.Slice(self.words, [0], [-1], [1]), op.Slice(self.words, [1], [END], [1])
        # Keys as in `titles.data.bigrams`. No key contains `PADDING`, so bigrams with it get the default.
        bigram_ids = op.LabelEncoder(
            op.Add(op.Mul(first, 1 << 32), second),
            keys_tensor=ir.tensor(keys),
            values_tensor=ir.tensor(np.arange(len(keys))),
            default_tensor=ir.tensor(np.array([PADDING])),
            _domain="ai.onnx.ml",
            _version=OPSETS["ai.onnx.ml"],
        )
        return op.Gather(self.padded_table("pair_vectors.table"), bigram_ids)

    def linear(self, name: str, member: int, values: ir.Value) -> ir.Value:
        """The linear layer `name` of an ensemble member."""
        weight, bias = (
            self.constant(f"{name}.{kind}.{member}", self.weights[f"{name}.{kind}"][member])
            for kind in ("weight", "bias")
        )
        return self.op.Add(self.op.MatMul(values, weight), bias)

    def member_slice(self, vectors: ir.Value, member: int) -> ir.Value:
        """The dimensions of each vector that belong to an ensemble member."""
        size = self.weights["word_vectors.own.weight"].shape[1] // self.network.ensemble_size
        return self.op.Slice(vectors, [member * size], [(member + 1) * size], [-1])

    def row_lengths(self, ids: ir.Value) -> ir.Value:
        """The number of ids in each row, without `PADDING`, float32 [rows, 1]."""
        return self.op.ReduceSum(self.op.Cast(self.op.GreaterOrEqual(ids, 0), to=FLOAT), [1])

    def padded_table(self, name: str) -> ir.Value:
        """The embedding table with a final row of zeros, to which `PADDING` points, as index -1."""
        rows = self.weights[f"{name}.weight"]
        return self.constant(name, torch.cat([rows, rows.new_zeros(1, rows.shape[1])]))

    def constant(self, name: str, values: Tensor) -> ir.Value:
        return self.op.initializer(ir.tensor(values.numpy()), name)
