"""One loop for every network: it knows batches, logits and labels, and nothing of MLP or CNN."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from titles.embedded import Labelled
from titles.history import Epoch
from titles.hyperparameters import CLASS_BALANCES, TrainParams
from titles.metrics import balanced_accuracy
from titles.networks import Network, predict
from titles.optimizer import RowAdam
from titles.progress import Progress, format_seconds
from titles.ragged import Ragged
from titles.temperature import best_temperature
from titles.vectors import Batch, Table

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
    weights: Path,
    params: TrainParams,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> tuple[list[Epoch], int]:
    """Trains `network`, leaves the weights of the best epoch in the file `weights`; returns all epochs and the best.

    The best is the last that validation cannot tell from the one with the highest balanced accuracy: within one
    standard error of it. On few titles the highest is a matter of luck, and the later epoch, of a lower learning rate,
    the better one. Ends early when no epoch was that good for `params.patience` epochs. Where `params.min_steps` takes
    more epochs than `params.epochs`, patience grows in proportion. The network ends with the weights in the file, its
    temperature set by the validation titles.
    """
    batches = -(-len(training) // params.batch_size)
    epochs = max(params.epochs, -(-params.min_steps // batches))
    # The learning rate falls with the steps, not the epochs, so shorter epochs must be waited for longer.
    params = replace(params, epochs=epochs, patience=-(-params.patience * epochs // params.epochs))
    step = _Step(network, training, params)
    history: list[Epoch] = []
    highest, best = 0.0, 0
    started = time.monotonic()
    for number in range(params.epochs):
        learning_rate = step.learning_rate
        train_loss = _train_epoch(step, training, spelling, params, number)
        epoch = Epoch(number + 1, learning_rate, train_loss, *_validate(network, validation, spelling))
        history.append(epoch)
        if on_epoch:
            on_epoch(epoch)
        highest = max(highest, epoch.validation_balanced_accuracy)
        error = math.sqrt(highest * (1 - highest) / len(validation))
        is_best = epoch.validation_balanced_accuracy >= highest - error
        _log_epoch(epoch, is_best, params, time.monotonic() - started)
        if is_best:
            best = epoch.epoch
            save_file(network.state_dict(), weights)
        elif epoch.epoch - best >= params.patience:
            log.info("stopped: no better for %d epochs", params.patience)
            break
    network.load_state_dict(load_file(weights))
    network.temperature.fill_(_temperature(network, validation, spelling))
    log.info("temperature %.3f", network.temperature)
    save_file(network.state_dict(), weights)
    return history, best


class _Step:
    """A batch in, its loss out, the network a little better."""

    def __init__(self, network: Network, training: Labelled, params: TrainParams) -> None:
        steps = params.epochs * -(-len(training) // params.batch_size)
        trained = [weight for weight in network.parameters() if weight.requires_grad]
        of_tables = {id(module.weight) for module in network.modules() if isinstance(module, Table)}
        sparse = [weight for weight in trained if id(weight) in of_tables]
        dense = [weight for weight in trained if id(weight) not in of_tables]
        self.network = network
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(dense, lr=params.learning_rate, weight_decay=params.weight_decay)
        ]
        if sparse:
            self.optimizers.append(RowAdam(sparse, lr=params.learning_rate))
        self.schedules = [LambdaLR(optimizer, lambda step: 1 - step / steps) for optimizer in self.optimizers]
        self.label_smoothing = params.label_smoothing
        self.adjustment = CLASS_BALANCES[params.class_balance] * _log_shares(training)

    @property
    def learning_rate(self) -> float:
        return float(self.schedules[0].get_last_lr()[0])

    def __call__(self, batch: Batch, labels: Tensor) -> Tensor:
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        logits = self.network(batch) + self.adjustment
        # The mean over the members of what each would lose alone.
        loss = F.cross_entropy(logits.flatten(0, 1), labels.repeat(len(logits)), label_smoothing=self.label_smoothing)
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer, schedule in zip(self.optimizers, self.schedules, strict=True):
            optimizer.step()
            schedule.step()
        return loss.detach()


def _log_shares(training: Labelled) -> Tensor:
    """The log of the share of each category in the training titles, [categories]; every trained category has some."""
    counts = np.bincount(training.labels)
    return torch.from_numpy(np.log(counts / counts.sum()).astype(np.float32))


def _train_epoch(step: _Step, training: Labelled, spelling: Ragged, params: TrainParams, number: int) -> float:
    """The mean loss of the epoch."""
    step.network.train()
    total = torch.zeros((), dtype=torch.float64)
    with Progress(len(training), "titles", f"epoch {number + 1}/{params.epochs}") as bar:
        for rows in _shuffled(len(training), params, number):
            labels = torch.from_numpy(training.labels[rows]).long()
            total += len(rows) * step(Batch.of(training.titles.take(rows), spelling), labels)
            bar.update(len(rows))
    return round(float(total) / len(training), 6)


def _shuffled(rows: int, params: TrainParams, number: int) -> Iterator[NDArray[np.int64]]:
    """The numbers of all rows in batches, in an order that seed and epoch alone decide."""
    order = np.random.default_rng([params.seed, number]).permutation(rows)
    yield from (order[first : first + params.batch_size] for first in range(0, rows, params.batch_size))


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
