"""What networks say of titles, and as much of it as metrics need."""

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
# So few that their probabilities of thousands of categories stay in a processor's cache until they are used.
CACHED_TITLES = 128


@dataclass(frozen=True)
class Predictions:
    """Of one network and every title, [titles]: its decision, the probability of that, and that of the true label.

    The probability of the true label is NaN where train lacks the category; `in_top` is whether fewer than `TOP` labels
    come before it.
    """

    predicted_label: NDArray[np.int64]
    confidence: NDArray[np.float32]
    true_probability: NDArray[np.float32]
    in_top_k: NDArray[np.bool_]

    @classmethod
    def empty(cls, num_titles: int) -> Self:
        """Room for so many, as arrays that every batch left would keep the memory between them from use."""
        floats = np.empty((2, num_titles), np.float32)
        return cls(np.empty(num_titles, np.int64), floats[0], floats[1], np.empty(num_titles, np.bool_))


def predict(
    networks: dict[str, Network],
    test: LabelledDataset,
    subword_ids: Ragged,
    weights: NDArray[np.float32],
) -> dict[str, Predictions]:
    """Of each network, and of the mean of their probabilities, which are never kept.

    `weights` [categories] are of `titles.nn.decision`.
    """
    found = {name: Predictions.empty(len(test)) for name in [*networks, "mean"]}

    def predict_batch(batch: slice) -> None:
        labels = test.labels[batch].astype(np.int64)
        titles = test.titles.slice(batch.start, batch.stop)
        for some, said in iter_probabilities(networks, titles, subword_ids):
            rows = slice(batch.start + some.start, batch.start + some.stop)
            for name, of_network in (said | {"mean": mean_probabilities(said)}).items():
                into = found[name]
                weighted = of_network.numpy() * weights
                into.predicted_label[rows], into.confidence[rows] = _argmax_with_confidence(
                    of_network.numpy(), weighted
                )
                into.true_probability[rows] = _label_probabilities(of_network.numpy(), labels[some])
                into.in_top_k[rows] = _in_top_k(weighted, into.predicted_label[rows], labels[some])

    _map_batches(predict_batch, len(test), networks)
    return found


def predict_ensemble(
    networks: dict[str, Network], titles: Ragged, subword_ids: Ragged, weights: NDArray[np.float32]
) -> NDArray[np.int64]:
    """The label whose weighted mean probability is the highest, [titles]."""
    found = np.empty(len(titles), np.int64)

    def predict_batch(batch: slice) -> None:
        for some, said in iter_probabilities(networks, titles.slice(batch.start, batch.stop), subword_ids):
            found[batch.start + some.start : batch.start + some.stop] = (
                mean_probabilities(said).numpy() * weights
            ).argmax(1)

    _map_batches(predict_batch, len(titles), networks)
    return found


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
    """Of a batch of titles, some at a time, which they are, and by each network [titles, categories], on the CPU.

    For networks in `eval` mode.
    """
    device = next(next(iter(networks.values())).parameters()).device
    features = {
        name: network.features(to_device(network.batch(titles, subword_ids), device))
        for name, network in networks.items()
    }
    size = CACHED_TITLES if device.type == "cpu" else max(1, len(titles))
    for first in range(0, len(titles), size):
        rows, said = slice(first, min(first + size, len(titles))), {}
        for name, network in networks.items():
            said[name] = network.logits(features[name][:, rows]).cpu().softmax(1)
        yield rows, said


def mean_probabilities(probs: dict[str, Tensor]) -> Tensor:
    """What several networks say together, [titles, categories]."""
    first, *others = probs.values()
    return reduce(torch.add, others, first).div_(len(probs)) if others else first


def _argmax_with_confidence(
    probabilities: NDArray[np.float32], weighted: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Of each title the label of the highest weighted probability, and its probability.

    NumPy finds it in a tenth of torch's time.
    """
    labels = weighted.argmax(1)
    return labels, probabilities[np.arange(len(labels)), labels]


def _label_probabilities(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """The probability of each title's true label, NaN of one that train lacks."""
    trained = labels < probabilities.shape[1]
    of_labels = probabilities[np.arange(len(labels)), np.where(trained, labels, 0)]
    return np.where(trained, of_labels, np.float32(np.nan))


def _in_top_k(
    weighted: NDArray[np.float32], predicted_labels: NDArray[np.int64], labels: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Whether each title's true label is one of the `TOP` of the highest weighted probability."""
    in_top: NDArray[np.bool_] = predicted_labels == labels
    # Of most titles it is the highest.
    doubtful = np.flatnonzero((labels < weighted.shape[1]) & ~in_top)
    of_true = weighted[doubtful, labels[doubtful]]
    in_top[doubtful] = (weighted[doubtful] > of_true[:, None]).sum(1) < TOP_K
    return in_top
