"""Predict all titles and keep, per title, only what the metrics need."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from titles.core.progress import Progress
from titles.data.batch import to_device
from titles.data.encoded_dataset import LabelledDataset
from titles.data.ragged import Ragged
from titles.inference.threads import map_threads
from titles.nn.networks import Network

log = logging.getLogger(__name__)

TOP_K = 5
BATCH_SIZE = 2048
# Few enough that their probabilities of thousands of categories stay in the CPU's cache until they are used.
CACHED_TITLES = 128


@dataclass(frozen=True)
class Predictions:
    """The predictions of one network, or of the mean of several, as arrays of shape [titles].

    predicted_label     the label of the highest weighted probability
    confidence          the probability of the predicted label
    true_probability    the probability of the true label; NaN if no training title has its category
    in_top_k            whether fewer than `TOP_K` labels have a higher weighted probability than the true label
    """

    predicted_label: NDArray[np.int64]
    confidence: NDArray[np.float32]
    true_probability: NDArray[np.float32]
    in_top_k: NDArray[np.bool_]

    @classmethod
    def empty(cls, num_titles: int) -> Self:
        """Allocate all arrays once: arrays allocated per batch would fragment the memory between them."""
        floats = np.empty((2, num_titles), np.float32)
        return cls(np.empty(num_titles, np.int64), floats[0], floats[1], np.empty(num_titles, np.bool_))


def predict(
    networks: dict[str, Network],
    test: LabelledDataset,
    subword_ids: Ragged,
    weights: NDArray[np.float32],
) -> dict[str, Predictions]:
    """Predict with each network and with the mean of their probabilities, which has the key "mean".

    Probabilities are discarded batch by batch. `weights` [categories] come from `titles.nn.decision`.
    """
    predictions = {name: Predictions.empty(len(test)) for name in [*networks, "mean"]}

    def predict_batch(batch: slice) -> None:
        labels = test.labels[batch].astype(np.int64)
        titles = test.titles.slice(batch.start, batch.stop)
        for chunk, probs in iter_probabilities(networks, titles, subword_ids):
            rows = slice(batch.start + chunk.start, batch.start + chunk.stop)
            for name, network_probs in (probs | {"mean": mean_probabilities(probs)}).items():
                out, array = predictions[name], network_probs.numpy()
                weighted = array * weights
                out.predicted_label[rows], out.confidence[rows] = _argmax_with_confidence(array, weighted)
                out.true_probability[rows] = _label_probabilities(array, labels[chunk])
                out.in_top_k[rows] = _in_top_k(weighted, out.predicted_label[rows], labels[chunk])

    _map_batches(predict_batch, len(test), networks)
    return predictions


def predict_ensemble(
    networks: dict[str, Network], titles: Ragged, subword_ids: Ragged, weights: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Predict the label of the highest weighted mean probability, [titles]."""
    labels = np.empty(len(titles), np.int64)

    def predict_batch(batch: slice) -> None:
        for chunk, probs in iter_probabilities(networks, titles.slice(batch.start, batch.stop), subword_ids):
            weighted = mean_probabilities(probs).numpy() * weights
            labels[batch.start + chunk.start : batch.start + chunk.stop] = weighted.argmax(1)

    _map_batches(predict_batch, len(titles), networks)
    return labels


def _map_batches(function: Callable[[slice], None], num_titles: int, networks: dict[str, Network]) -> None:
    for network in networks.values():
        network.eval()
    started = time.monotonic()
    batches = (slice(first, min(first + BATCH_SIZE, num_titles)) for first in range(0, num_titles, BATCH_SIZE))
    with Progress(num_titles, "titles", "predicting") as bar:
        for _ in map_threads(function, batches):
            bar.update(BATCH_SIZE)
    rate = num_titles / (time.monotonic() - started)
    log.info("predicted with %s: %s titles, %s titles/s", " and ".join(networks), f"{num_titles:,}", f"{rate:,.0f}")


@torch.inference_mode()
def iter_probabilities(
    networks: dict[str, Network], titles: Ragged, subword_ids: Ragged
) -> Iterator[tuple[slice, dict[str, Tensor]]]:
    """Iterate over chunks of a batch of titles: the rows of the chunk, and the probabilities by each network.

    Probabilities are on the CPU, [titles, categories]. The networks must be in `eval` mode.
    """
    device = next(next(iter(networks.values())).parameters()).device
    features = {
        name: network.features(to_device(network.batch(titles, subword_ids), device))
        for name, network in networks.items()
    }
    size = CACHED_TITLES if device.type == "cpu" else max(1, len(titles))
    for first in range(0, len(titles), size):
        rows, probs = slice(first, min(first + size, len(titles))), {}
        for name, network in networks.items():
            probs[name] = network.logits(features[name][:, rows]).cpu().softmax(1)
        yield rows, probs


def mean_probabilities(probs: dict[str, Tensor]) -> Tensor:
    """Average the probabilities of the networks, [titles, categories]."""
    first, *others = probs.values()
    return reduce(torch.add, others, first).div_(len(probs)) if others else first


def _argmax_with_confidence(
    probabilities: NDArray[np.float32], weighted: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The label of the highest weighted probability of each title, and its unweighted probability, both [titles].

    NumPy's argmax takes a tenth of the time of torch's.
    """
    labels = weighted.argmax(1)
    return labels, probabilities[np.arange(len(labels)), labels]


def _label_probabilities(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """The probability of each title's true label; NaN if no training title has its category."""
    is_trained = labels < probabilities.shape[1]
    label_probs = probabilities[np.arange(len(labels)), np.where(is_trained, labels, 0)]
    return np.where(is_trained, label_probs, np.float32(np.nan))


def _in_top_k(
    weighted: NDArray[np.float32], predicted_labels: NDArray[np.int64], labels: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Whether fewer than `TOP_K` labels have a higher weighted probability than the true label, [titles]."""
    in_top: NDArray[np.bool_] = predicted_labels == labels
    # Most predictions are right, so only the others need their probabilities counted.
    wrong = np.flatnonzero((labels < weighted.shape[1]) & ~in_top)
    label_weighted = weighted[wrong, labels[wrong]]
    in_top[wrong] = (weighted[wrong] > label_weighted[:, None]).sum(1) < TOP_K
    return in_top
