"""The two networks: a batch of titles in, the logits of the categories out."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from titles.data.batch import AnyWindows, Batch, WordBatch, to_device
from titles.data.conv_windows import Windows
from titles.data.device_batches import DeviceBatches
from titles.data.ragged import Ragged
from titles.nn.hparams import ACTIVATIONS, CnnParams, MlpParams, ModelParams
from titles.nn.text_conv import max_mean_pool, sum_words, text_conv
from titles.nn.word_embedding import BigramVectors, Sizes, WordVectors

# Between the mean, 1, and what keeps the length of a sum of independent vectors, 1/2. On all real titles the mean and
# this did equally well and the root worse, on a tenth of them the root and this equally well and the mean worse.
LENGTH_POWER = 0.75


class BatchedLinear(nn.Module):
    """A linear layer for each member: [members, titles, inputs] to [members, titles, outputs]."""

    def __init__(self, ensemble_size: int, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(ensemble_size, in_features, out_features))
        if not self.weight.is_meta:
            nn.init.uniform_(self.weight, -1, 1).data.div_(in_features**0.5)
        self.bias = nn.Parameter(torch.zeros(ensemble_size, 1, out_features))

    def forward(self, values: Tensor) -> Tensor:
        """Multiplies and adds."""
        return torch.baddbmm(self.bias, values, self.weight)


class TextConv(BatchedLinear):
    """The same for every window: the vectors of words [distinct words, dimension] to [windows, members * outputs]."""

    def forward(self, vectors: Tensor, windows: AnyWindows) -> Tensor:  # type: ignore[override]
        """Multiplies and adds."""
        return text_conv(vectors, self.weight, self.bias, windows)


class Network(nn.Module):
    """Several small networks side by side, each with its part of the word vectors, that answer as one.

    They are trained each for itself in one pass, as in Packed-Ensembles (Laurent et al., 2023), and their
    probabilities averaged. `titles.metrics.calibration` finds what their logits are divided by, `temperature`, and what
    is then added to them, `calibration_bias` [categories]; training leaves these at 1 and 0.
    """

    temperature: Tensor
    calibration_bias: Tensor

    def __init__(
        self, sizes: Sizes, model: ModelParams, filters: int, kernel_sizes: tuple[int, ...], other_features: int = 0
    ) -> None:
        super().__init__()
        inputs = sizes.dimension // model.ensemble_size
        self.ensemble_size, self.kernel_sizes = model.ensemble_size, kernel_sizes
        self.word_vectors = WordVectors(sizes, model)
        self.filters = nn.ModuleList(TextConv(model.ensemble_size, width * inputs, filters) for width in kernel_sizes)
        self.activation, self.dropout = _activation(model), nn.Dropout(model.dropout)
        self.output = BatchedLinear(model.ensemble_size, filters * len(kernel_sizes) + other_features, sizes.categories)
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("calibration_bias", torch.zeros(sizes.categories))

    def forward(self, batch: Batch) -> Tensor:
        """The logits of every member [members, titles, categories] while training, else of all [titles, categories]."""
        features = self.features(batch)
        if self.training:
            logits: Tensor = self.output(features)
            return logits
        return self.logits(features)

    def logits(self, features: Tensor) -> Tensor:
        """The calibrated ones of all members together, by what each has for features [members, titles, features]."""
        output = self.output
        if self.ensemble_size == 1:
            # There are far fewer features than logits to divide.
            features, bias = features / self.temperature, output.bias / self.temperature + self.calibration_bias
            return torch.baddbmm(bias, features, output.weight)[0]
        # A probability of zero is one too small for a float.
        probabilities: Tensor = output(features).softmax(2).sum(0).clamp_(min=torch.finfo().tiny)
        return probabilities.log_().div_(self.temperature).add_(self.calibration_bias)

    def reset_calibration(self, log_shares: Tensor) -> None:
        """Back to the training titles' own distribution as training leaves it."""
        self.temperature.fill_(1)
        self.calibration_bias.copy_(log_shares)

    def batch(self, titles: Ragged, subword_ids: Ragged) -> Batch:
        """The titles as this network takes them, on the CPU: every word in a bag of its own, and in its windows."""
        offsets, vectors = np.arange(len(titles.values) + 1), self.word_vectors
        words = WordBatch.from_ids(titles.values, offsets, subword_ids, len(vectors.own.weight), vectors.precomputed)
        windows = tuple(Windows.from_bags(width, words.bags, titles.offsets) for width in self.kernel_sizes)  # type: ignore[arg-type]
        return Batch(words, torch.from_numpy(np.diff(titles.offsets)), windows)

    def batches(self, titles: DeviceBatches) -> list[Batch]:
        """The same of many batches at once, on a GPU, while words are not finished."""
        windows = zip(*map(titles.windows, self.kernel_sizes), strict=True)
        return list(map(Batch, titles.words(), titles.lengths.split(), windows))

    def features(self, batch: Batch) -> Tensor:
        """What the output layer sees, [members, titles, features]."""
        raise NotImplementedError

    def conv_features(self, vectors: Tensor, batch: Batch) -> Tensor:
        """What each filter finds in the windows of a title, maximum plus mean, [members, titles, filters].

        Zero for a title without words.
        """
        of_titles = [
            max_mean_pool(self.activation(filters(vectors, windows)), windows)
            for windows, filters in zip(batch.windows, self.filters, strict=True)
        ]
        of_members = [_split_members(of_width, self.ensemble_size) for of_width in of_titles]
        dropped: Tensor = self.dropout(torch.cat(of_members, 2))
        return dropped


class MLP(Network):
    """Fully connected layers over the sum of a title's vectors, of words and pairs, by a power of its words' number.

    Divided by the number itself, a long title is a shorter vector than a short one, as independent words cancel out;
    divided by its root, it is not.

    Beside them one layer over each word alone, of which a title keeps the maximum plus the mean: one telling word among
    others does not change a sum much. That matters most where a category has few titles.
    """

    def __init__(self, sizes: Sizes, model: ModelParams, mlp: MlpParams) -> None:
        widths = [sizes.dimension // model.ensemble_size, *[mlp.hidden_units] * mlp.hidden_layers]
        super().__init__(sizes, model, mlp.filters, (1,), widths[-1])
        self.pair_vectors = BigramVectors(sizes, model)
        self.hidden = nn.Sequential()
        for inputs, outputs in pairwise(widths):
            self.hidden.extend(
                [BatchedLinear(model.ensemble_size, inputs, outputs), _activation(model), nn.Dropout(model.dropout)]
            )

    def batch(self, titles: Ragged, subword_ids: Ragged) -> Batch:
        """The same with a bag of pairs for each title."""
        return replace(super().batch(titles, subword_ids), bigrams=self.pair_vectors.bags(titles))

    def batches(self, titles: DeviceBatches) -> list[Batch]:
        """As `batch`."""
        bigrams = titles.bigrams(self.pair_vectors.keys)
        return [replace(batch, bigrams=bags) for batch, bags in zip(super().batches(titles), bigrams, strict=True)]

    def features(self, batch: Batch) -> Tensor:
        """The last hidden layer, and what filters find in the title's words."""
        vectors = self.word_vectors(batch.words)
        sums = sum_words(vectors, batch.windows[0]) + self.pair_vectors(batch.bigrams)
        lengths = batch.lengths.clamp(min=1)[:, None]
        hidden = self.hidden(_split_members(sums / lengths**LENGTH_POWER, self.ensemble_size))
        return torch.cat([hidden, self.conv_features(vectors, batch)], 2)


class CNN(Network):
    """Filters of several widths over the word vectors in their order, as Kim (2014); of each maximum plus mean."""

    def __init__(self, sizes: Sizes, model: ModelParams, cnn: CnnParams) -> None:
        super().__init__(sizes, model, cnn.filters, cnn.kernel_sizes)

    def features(self, batch: Batch) -> Tensor:
        """What filters find in the windows in which a word stands."""
        return self.conv_features(self.word_vectors(batch.words), batch)


def _split_members(vectors: Tensor, ensemble_size: int) -> Tensor:
    """[rows, dimension] as [members, rows, the member's part]"""
    return vectors.view(len(vectors), ensemble_size, vectors.shape[1] // ensemble_size).transpose(0, 1)


@torch.inference_mode()
def predict(network: Network, titles: Ragged, subword_ids: Ragged, batch_size: int = 1024) -> Iterator[Tensor]:
    """The logits of all titles in their order, [batch_size, categories] at a time, on the CPU, with dropout off."""
    network.eval()
    device = next(network.parameters()).device
    for first in range(0, len(titles), batch_size):
        rows = np.arange(first, min(first + batch_size, len(titles)))
        yield network(to_device(network.batch(titles.take(rows), subword_ids), device)).cpu()


def _activation(model: ModelParams) -> nn.Module:
    activation: nn.Module = getattr(nn, ACTIVATIONS[model.activation])()
    return activation
