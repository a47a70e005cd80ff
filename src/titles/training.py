"""One loop for every network: it knows batches, logits and labels, and nothing of MLP or CNN."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from titles.batch import Batch
from titles.checkpoint import Checkpoint
from titles.embedded import Labelled
from titles.history import Epoch
from titles.hyperparameters import TrainParams
from titles.metrics import balanced_accuracy
from titles.networks import Network, predict
from titles.progress import Progress, format_seconds
from titles.ragged import Ragged
from titles.steps import Step
from titles.temperature import best_temperature

log = logging.getLogger(__name__)

# Enough for one number; the logits of all would not fit in memory where there are millions.
TEMPERATURE_TITLES = 20_000


def set_determinism(params: TrainParams) -> None:
    """Seeds torch and fixes the number of its threads, on which the order of sums depends."""
    torch.manual_seed(params.seed)
    torch.set_num_threads(params.threads)
    torch.use_deterministic_algorithms(True)
    # Nothing here reads what it has not written, and filling cost a tenth of the time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def train(
    network: Network,
    training: Labelled,
    validation: Labelled,
    spelling: Ragged,
    params: TrainParams,
    checkpoint: Checkpoint,
    on_epoch: Callable[[Epoch], None],
) -> tuple[list[Epoch], int]:
    """Trains `network` from `checkpoint` on, or from the start; returns all epochs and the number of the best.

    The best is the last that validation cannot tell from the one with the highest balanced accuracy: within one
    standard error of it. On few titles the highest is a matter of luck, and the later epoch, of a lower learning rate,
    the better one. Ends early when no epoch was that good for `params.patience` epochs. Where `params.min_steps` takes
    more epochs than `params.epochs`, patience grows in proportion. The network ends with the weights of the best epoch,
    its temperature set by the validation titles.
    """
    batches = -(-len(training) // params.batch_size)
    epochs = max(params.epochs, -(-params.min_steps // batches))
    # The learning rate falls with the steps, not the epochs, so shorter epochs must be waited for longer.
    params = replace(params, epochs=epochs, patience=-(-params.patience * epochs // params.epochs))
    step = Step(network, training, params)
    place = _resume(checkpoint, step)
    for epoch in place.history:
        on_epoch(epoch)
    started = time.monotonic() - place.seconds
    while len(place.history) < params.epochs:
        number = len(place.history)
        train_loss = _train_epoch(step, training, spelling, params, place, checkpoint)
        # As the schedule has it at the first step, which a resumed training no longer sees.
        learning_rate = params.learning_rate * (1 - number * batches / (epochs * batches))
        epoch = Epoch(number + 1, learning_rate, train_loss, *_validate(network, validation, spelling))
        place = replace(place, history=[*place.history, epoch], titles=0, loss=0.0, seconds=time.monotonic() - started)
        on_epoch(epoch)
        highest = max(epoch.validation_balanced_accuracy for epoch in place.history)
        error = math.sqrt(highest * (1 - highest) / len(validation))
        is_best = epoch.validation_balanced_accuracy >= highest - error
        _log_epoch(epoch, is_best, params, place.seconds)
        if is_best:
            place = replace(place, best=epoch.epoch)
            checkpoint.keep(network.state_dict())
        elif epoch.epoch - place.best >= params.patience:
            log.info("stopped: no better for %d epochs", params.patience)
            break
    network.load_state_dict(checkpoint.kept())
    network.temperature.fill_(_temperature(network, validation, spelling))
    log.info("temperature %.3f", network.temperature)
    return place.history, place.best


@dataclass(frozen=True)
class _Place:
    """How far a training is: the epochs done, and of the next one the titles seen and the sum of their losses."""

    history: list[Epoch]
    best: int = 0
    titles: int = 0
    loss: float = 0.0
    seconds: float = 0.0


def _resume(checkpoint: Checkpoint, step: Step) -> _Place:
    """Where the checkpoint is, or the start."""
    state = checkpoint.load()
    if state is None:
        return _Place([])
    step.restore(state["step"])
    place = _Place(**state["place"] | {"history": [Epoch(**epoch) for epoch in state["place"]["history"]]})
    log.info("goes on in epoch %d, after %s titles of it", len(place.history) + 1, f"{place.titles:,}")
    return place


def _train_epoch(
    step: Step, training: Labelled, spelling: Ragged, params: TrainParams, place: _Place, checkpoint: Checkpoint
) -> float:
    """Trains from `place` to the end of the epoch; the mean loss of all of it."""
    step.network.train()
    number, seen, total = len(place.history), place.titles, torch.tensor(place.loss, dtype=torch.float64)
    started = time.monotonic() - place.seconds

    def state() -> dict[str, Any]:
        now = replace(place, titles=seen, loss=float(total), seconds=time.monotonic() - started)
        return {"step": step.state(), "place": asdict(now)}

    with Progress(len(training), "titles", f"epoch {number + 1}/{params.epochs}", seen) as bar:
        for rows in _shuffled(len(training), params, number, seen):
            labels = torch.from_numpy(training.labels[rows]).long()
            total += len(rows) * step(Batch.of(training.titles.take(rows), spelling), labels)
            seen += len(rows)
            bar.update(len(rows))
            checkpoint.save_when_due(state)
    return round(float(total) / len(training), 6)


def _shuffled(rows: int, params: TrainParams, number: int, seen: int) -> Iterator[NDArray[np.int64]]:
    """The numbers of all rows but the first `seen` in batches, in an order that seed and epoch alone decide."""
    order = np.random.default_rng([params.seed, number]).permutation(rows)
    yield from (order[first : first + params.batch_size] for first in range(seen, rows, params.batch_size))


def _validate(network: Network, validation: Labelled, spelling: Ragged) -> tuple[float, float, float]:
    """Loss, accuracy, balanced accuracy. Titles of categories that train lacks have no loss."""
    labels = torch.from_numpy(np.array(validation.labels)).long()
    losses, predicted, first = [], [], 0
    for logits in predict(network, validation.titles, spelling):
        true = labels[first : first + len(logits)]
        trained = true < logits.shape[1]
        losses.append(F.cross_entropy(logits[trained], true[trained], reduction="sum").double())
        predicted.append(logits.argmax(1))
        first += len(logits)
    loss = sum(losses) / max(1, int((labels < logits.shape[1]).sum()))
    found = torch.cat(predicted)
    accuracy = (found == labels).double().mean()
    return round(float(loss), 6), round(float(accuracy), 6), round(balanced_accuracy(labels.numpy(), found.numpy()), 6)


def _temperature(network: Network, validation: Labelled, spelling: Ragged) -> float:
    """The best for the first titles of validation, whose order is random."""
    labels = torch.from_numpy(np.array(validation.labels[:TEMPERATURE_TITLES])).long()
    titles = validation.titles.take(np.arange(len(labels)))
    return best_temperature(torch.cat(list(predict(network, titles, spelling))), labels)


def _log_epoch(epoch: Epoch, is_best: bool, params: TrainParams, seconds: float) -> None:
    left = seconds / epoch.epoch * (params.epochs - epoch.epoch)
    log.info(
        "epoch %d/%d: train loss %.3f, validation loss %.3f, balanced accuracy %.4f%s; %s gone, at most %s to go",
        epoch.epoch,
        params.epochs,
        epoch.train_loss,
        epoch.validation_loss,
        epoch.validation_balanced_accuracy,
        " (best)" if is_best else "",
        format_seconds(seconds),
        format_seconds(left),
    )
