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

from titles.batch import moved
from titles.embedded import Labelled
from titles.networks import Network
from titles.progress import Progress
from titles.ragged import Ragged
from titles.threads import map_threads

log = logging.getLogger(__name__)

TOP = 5
BATCH_SIZE = 2048
# So few that their probabilities of thousands of categories stay in a processor's cache until they are used.
CACHED_TITLES = 128


@dataclass(frozen=True)
class Predictions:
    """What one network says of every title, [titles]: its best label, how surely, and what it says of the true one.

    The probability of the true label is NaN where train lacks the category; `in_top` is whether fewer than `TOP` labels
    have a higher one.
    """

    best: NDArray[np.int64]
    confidence: NDArray[np.float32]
    true_probability: NDArray[np.float32]
    in_top: NDArray[np.bool_]

    @classmethod
    def empty(cls, titles: int) -> Self:
        """Room for so many, as arrays that every batch left would keep the memory between them from use."""
        floats = np.empty((2, titles), np.float32)
        return cls(np.empty(titles, np.int64), floats[0], floats[1], np.empty(titles, np.bool_))


def predictions(
    networks: dict[str, Network], test: Labelled, spelling: Ragged, tempered: bool = True
) -> dict[str, Predictions]:
    """Of each network, and of the mean of their probabilities, which are never kept."""
    found = {name: Predictions.empty(len(test)) for name in [*networks, "mean"]}

    def of_batch(batch: slice) -> None:
        labels = test.labels[batch].astype(np.int64)
        titles = test.titles.slice(batch.start, batch.stop)
        for some, said in probabilities(networks, titles, spelling, tempered):
            rows = slice(batch.start + some.start, batch.start + some.stop)
            for name, of_network in (said | {"mean": mean(said)}).items():
                into = found[name]
                into.best[rows], into.confidence[rows] = _best(of_network)
                into.true_probability[rows], into.in_top[rows] = _of_true(of_network, into.best[rows], labels[some])

    _each_batch(of_batch, len(test), networks)
    return found


def best_by_mean(networks: dict[str, Network], titles: Ragged, spelling: Ragged) -> NDArray[np.int64]:
    """The label whose mean probability is the highest, [titles]."""
    found = np.empty(len(titles), np.int64)

    def of_batch(batch: slice) -> None:
        for some, said in probabilities(networks, titles.slice(batch.start, batch.stop), spelling):
            found[batch.start + some.start : batch.start + some.stop] = _best(mean(said))[0]

    _each_batch(of_batch, len(titles), networks)
    return found


def _each_batch(of_batch: Callable[[slice], None], titles: int, networks: dict[str, Network]) -> None:
    for network in networks.values():
        network.eval()
    started = time.monotonic()
    batches = (slice(first, min(first + BATCH_SIZE, titles)) for first in range(0, titles, BATCH_SIZE))
    with Progress(titles, "titles", "predicting") as bar:
        for _ in map_threads(of_batch, batches):
            bar.update(BATCH_SIZE)
    rate = titles / (time.monotonic() - started)
    log.info("predicted with %s: %s titles, %s titles/s", " and ".join(networks), f"{titles:,}", f"{rate:,.0f}")


@torch.inference_mode()
def probabilities(
    networks: dict[str, Network], titles: Ragged, spelling: Ragged, tempered: bool = True
) -> Iterator[tuple[slice, dict[str, Tensor]]]:
    """Of a batch of titles, some at a time, which they are, and by each network [titles, categories], on the CPU.

    For networks in `eval` mode.
    """
    device = next(next(iter(networks.values())).parameters()).device
    features = {
        name: network.features(moved(network.batch(titles, spelling), device)) for name, network in networks.items()
    }
    size = CACHED_TITLES if device.type == "cpu" else max(1, len(titles))
    for first in range(0, len(titles), size):
        rows, said = slice(first, min(first + size, len(titles))), {}
        for name, network in networks.items():
            logits = network.logits(features[name][:, rows]).cpu()
            said[name] = (logits if tempered else logits * network.temperature.cpu()).softmax(1)
        yield rows, said


def mean(said: dict[str, Tensor]) -> Tensor:
    """What several networks say together, [titles, categories]."""
    first, *others = said.values()
    return reduce(torch.add, others, first).div_(len(said)) if others else first


def _best(probabilities: Tensor) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The highest of each title, by label and value. NumPy finds it in a tenth of torch's time."""
    labels = probabilities.numpy().argmax(1)
    return labels, probabilities.numpy()[np.arange(len(labels)), labels]


def _of_true(
    probabilities: Tensor, best: NDArray[np.int64], labels: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The probability of each title's true label, and whether it is one of the `TOP` highest."""
    said, trained = probabilities.numpy(), labels < probabilities.shape[1]
    of_true = np.where(trained, said[np.arange(len(labels)), np.where(trained, labels, 0)], np.float32(np.nan))
    in_top = best == labels
    # Of most titles it is the highest.
    doubtful = np.flatnonzero(trained & ~in_top)
    in_top[doubtful] = (said[doubtful] > of_true[doubtful, None]).sum(1) < TOP
    return of_true, in_top
