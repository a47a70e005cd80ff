"""The two networks, MLP and CNN: from a batch of titles to the logits of the categories."""

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

# The power of the number of words by which the MLP divides the sum of their vectors. 1 gives the mean, and 1/2 keeps
# the norm of a sum of independent vectors. On all real titles, 1 and 0.75 were equally good and 1/2 worse; on a tenth
# of them, 1/2 and 0.75 were equally good and 1 worse.
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
        """Multiply by the weight of each member and add its bias."""
        return torch.baddbmm(self.bias, values, self.weight)


class TextConv(BatchedLinear):
    """A linear layer over every window: from [distinct words, dimension] to [windows, members * outputs]."""

    def forward(self, vectors: Tensor, windows: AnyWindows) -> Tensor:  # type: ignore[override]
        """Apply the filters to every window."""
        return text_conv(vectors, self.weight, self.bias, windows)


class Network(nn.Module):
    """An ensemble of small networks in one module; each member has its own slice of the word vector dimensions.

    The members are trained independently in one pass, as in Packed-Ensembles (Laurent et al., 2023), and their
    probabilities are averaged. Calibration, in `titles.metrics.calibration`, sets `temperature`, by which the log
    probabilities are divided, and `calibration_bias` [categories], which is added to them. They are 1 and 0
    initially, and 1 and the log shares of the categories during and after training.
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
        self.filters = nn.ModuleList(TextConv(model.ensemble_size, size * inputs, filters) for size in kernel_sizes)
        self.activation, self.dropout = _activation(model), nn.Dropout(model.dropout)
        self.output = BatchedLinear(model.ensemble_size, filters * len(kernel_sizes) + other_features, sizes.categories)
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("calibration_bias", torch.zeros(sizes.categories))

    def forward(self, batch: Batch) -> Tensor:
        """Logits in training: [members, titles, categories]; in evaluation, of the ensemble: [titles, categories]."""
        features = self.features(batch)
        if self.training:
            logits: Tensor = self.output(features)
            return logits
        return self.logits(features)

    def logits(self, features: Tensor) -> Tensor:
        """The calibrated logits of the ensemble [titles, categories], from `features` [members, titles, features]."""
        output = self.output
        if self.ensemble_size == 1:
            # Dividing the features is cheaper than dividing the logits, of which there are far more.
            features, bias = features / self.temperature, output.bias / self.temperature + self.calibration_bias
            return torch.baddbmm(bias, features, output.weight)[0]
        # A probability can underflow to zero.
        probs: Tensor = output(features).softmax(2).sum(0).clamp_(min=torch.finfo().tiny)
        return probs.log_().div_(self.temperature).add_(self.calibration_bias)

    def reset_calibration(self, log_shares: Tensor) -> None:
        """Reset the calibration to the log shares of the categories in the training titles, as training leaves it."""
        self.temperature.fill_(1)
        self.calibration_bias.copy_(log_shares)

    def batch(self, titles: Ragged, subword_ids: Ragged) -> Batch:
        """Make a batch of `titles` on the CPU; row w of `subword_ids` holds the subwords of word w."""
        offsets, vectors = np.arange(len(titles.values) + 1), self.word_vectors
        words = WordBatch.from_ids(titles.values, offsets, subword_ids, len(vectors.own.weight), vectors.precomputed)
        windows = tuple(Windows.from_bags(size, words.bags, titles.offsets) for size in self.kernel_sizes)  # type: ignore[arg-type]
        return Batch(words, torch.from_numpy(np.diff(titles.offsets)), windows)

    def batches(self, titles: DeviceBatches) -> list[Batch]:
        """Make many batches at once on a GPU, for training, before word vectors are precomputed."""
        windows = zip(*map(titles.windows, self.kernel_sizes), strict=True)
        return list(map(Batch, titles.words(), titles.lengths.split(), windows))

    def features(self, batch: Batch) -> Tensor:
        """The input of the output layer, [members, titles, features]."""
        raise NotImplementedError

    def conv_features(self, vectors: Tensor, batch: Batch) -> Tensor:
        """Convolution features, pooled by maximum plus mean, of all kernel sizes, [members, titles, filters].

        A title without words gets zeros.
        """
        pooled = [
            max_mean_pool(self.activation(filters(vectors, windows)), windows)
            for windows, filters in zip(batch.windows, self.filters, strict=True)
        ]
        features = torch.cat([_split_members(values, self.ensemble_size) for values in pooled], 2)
        dropped: Tensor = self.dropout(features)
        return dropped


class MLP(Network):
    """Fully connected layers over the sum of the word and bigram vectors of a title, and filters over single words.

    The sum is divided by the number of words to the power `LENGTH_POWER`. The mean of independent vectors has a lower
    norm in a long title than in a short one; a lower power reduces this effect.

    The filters have kernel size 1 and are pooled by maximum plus mean, because one distinctive word does not change a
    sum much. This matters most for categories with few titles.
    """

    def __init__(self, sizes: Sizes, model: ModelParams, mlp: MlpParams) -> None:
        layer_sizes = [sizes.dimension // model.ensemble_size, *[mlp.hidden_units] * mlp.hidden_layers]
        super().__init__(sizes, model, mlp.filters, (1,), layer_sizes[-1])
        # The name in the weights file.
        self.pair_vectors = BigramVectors(sizes, model)
        self.hidden = nn.Sequential()
        for inputs, outputs in pairwise(layer_sizes):
            self.hidden.extend(
                [BatchedLinear(model.ensemble_size, inputs, outputs), _activation(model), nn.Dropout(model.dropout)]
            )

    def batch(self, titles: Ragged, subword_ids: Ragged) -> Batch:
        """Add the bigrams of each title to the batch."""
        return replace(super().batch(titles, subword_ids), bigrams=self.pair_vectors.bags(titles))

    def batches(self, titles: DeviceBatches) -> list[Batch]:
        """Add the bigrams of each title to the batches."""
        bigrams = titles.bigrams(self.pair_vectors.keys)
        return [replace(batch, bigrams=bags) for batch, bags in zip(super().batches(titles), bigrams, strict=True)]

    def features(self, batch: Batch) -> Tensor:
        """The last hidden layer and the convolution features."""
        vectors = self.word_vectors(batch.words)
        sums = sum_words(vectors, batch.windows[0]) + self.pair_vectors(batch.bigrams)
        lengths = batch.lengths.clamp(min=1)[:, None]
        hidden = self.hidden(_split_members(sums / lengths**LENGTH_POWER, self.ensemble_size))
        return torch.cat([hidden, self.conv_features(vectors, batch)], 2)


class CNN(Network):
    """Filters of several kernel sizes over the word vectors (Kim, 2014), each pooled by maximum plus mean."""

    def __init__(self, sizes: Sizes, model: ModelParams, cnn: CnnParams) -> None:
        super().__init__(sizes, model, cnn.filters, cnn.kernel_sizes)

    def features(self, batch: Batch) -> Tensor:
        """The convolution features."""
        return self.conv_features(self.word_vectors(batch.words), batch)


def _split_members(vectors: Tensor, ensemble_size: int) -> Tensor:
    """View [rows, dimension] as [members, rows, dimension // members]."""
    return vectors.view(len(vectors), ensemble_size, vectors.shape[1] // ensemble_size).transpose(0, 1)


@torch.inference_mode()
def predict(network: Network, titles: Ragged, subword_ids: Ragged, batch_size: int = 1024) -> Iterator[Tensor]:
    """Yield the logits of `titles` in order, on the CPU, [batch_size, categories] at a time, with dropout off."""
    network.eval()
    device = next(network.parameters()).device
    for first in range(0, len(titles), batch_size):
        rows = np.arange(first, min(first + batch_size, len(titles)))
        yield network(to_device(network.batch(titles.take(rows), subword_ids), device)).cpu()


def _activation(model: ModelParams) -> nn.Module:
    activation: nn.Module = getattr(nn, ACTIVATIONS[model.activation])()
    return activation
