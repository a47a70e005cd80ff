"""The training loop, the same for every network: steps, validation, early stopping and checkpoints."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from titles.core.progress import Progress, format_seconds
from titles.data.batch import Batch
from titles.data.encoded_dataset import LabelledDataset
from titles.data.ragged import Ragged
from titles.metrics.history import EpochMetrics, StepMetrics
from titles.nn import distributed
from titles.nn.hparams import TrainParams
from titles.nn.networks import Network
from titles.training.checkpoint import Checkpoint
from titles.training.loader import BatchLoader
from titles.training.train_step import TrainStep
from titles.training.validation import SAMPLE_TITLES, validate

log = logging.getLogger(__name__)

# The number of training titles between two validations on a sample within an epoch.
STEP_METRICS_INTERVAL = 1_000_000
HISTORY_TYPES = {"history": EpochMetrics, "step_metrics": StepMetrics}


def train(
    network: Network,
    training: LabelledDataset,
    validation: LabelledDataset,
    subword_ids: Ragged,
    params: TrainParams,
    checkpoint: Checkpoint,
    report: Callable[[EpochMetrics | StepMetrics], None],
) -> tuple[list[EpochMetrics], int]:
    """Train `network` from the checkpoint or from the start; return the validated epochs and the number of the best.

    The best epoch is the latest within one standard error of the highest validation balanced accuracy. With few
    validation titles the highest is a matter of chance, and a later epoch, which had a lower learning rate, is better.
    Training stops early after `params.patience` epochs without such an epoch. If `params.min_steps` takes more epochs
    than `params.epochs`, patience grows in proportion. On rank 0 the network ends with the weights of the best epoch.
    """
    requested_epochs, epochs = params.epochs, params.num_epochs(len(training))
    # The learning rate falls with the steps, so shorter epochs need a patience of more epochs.
    params = replace(params, epochs=epochs, patience=-(-params.patience * epochs // params.epochs))
    device = network.output.bias.device
    train_loader, validation_loader = (BatchLoader(split, subword_ids, device) for split in (training, validation))
    # Few titles take many short epochs. Validate about as often as if `min_steps` had added none.
    interval = max(1, epochs // requested_epochs)
    step = TrainStep(network, training, params)
    trainer = _Trainer(step, train_loader, validation_loader, params, interval, checkpoint, report)
    trainer.resume()
    resumed_metrics: list[EpochMetrics | StepMetrics] = [*trainer.state.step_metrics, *trainer.state.history]
    for metrics in resumed_metrics:
        report(metrics)
    while trainer.state.epoch < params.epochs and not trainer.should_stop_early():
        trainer.train_epoch()
    if distributed.rank() == 0:
        network.load_state_dict(checkpoint.load_best())
    return trainer.state.history, trainer.state.best_epoch


@dataclass
class _TrainerState:
    """The progress of a training: metrics, number of finished epochs, and titles and losses of the current epoch."""

    history: list[EpochMetrics] = field(default_factory=list)
    step_metrics: list[StepMetrics] = field(default_factory=list)
    best_epoch: int = 0
    epoch: int = 0
    titles_seen: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0


@dataclass
class _Trainer:
    """The training loop: steps, validation, early stopping and checkpoints."""

    step: TrainStep
    training: BatchLoader
    validation: BatchLoader
    params: TrainParams
    validation_interval: int
    checkpoint: Checkpoint
    report: Callable[[EpochMetrics | StepMetrics], None]
    state: _TrainerState = field(default_factory=_TrainerState)

    def resume(self) -> None:
        """Restore the state of the checkpoint, if there is one."""
        if (saved := self.checkpoint.load()) is None:
            return
        self.step.load_state_dict(saved["step"])
        state = saved["trainer"]
        histories = {name: [kind(**entry) for entry in state[name]] for name, kind in HISTORY_TYPES.items()}
        self.state = _TrainerState(**state | histories)
        log.info("resuming in epoch %d, after %s titles of it", self.state.epoch + 1, f"{self.state.titles_seen:,}")

    def train_epoch(self) -> None:
        """Train on the rest of the current epoch. Validate every `validation_interval` epochs and after the last."""
        state = self.state
        started = time.monotonic() - state.seconds
        self._train_batches(started)
        train_loss = round(state.loss_sum / len(self.training), 6)
        state.epoch, state.titles_seen, state.loss_sum = state.epoch + 1, 0, 0.0
        if state.epoch % self.validation_interval == 0 or state.epoch == self.params.epochs:
            self._validate_epoch(train_loss, started)
        state.seconds = time.monotonic() - started

    def _validate_epoch(self, train_loss: float, started: float) -> None:
        state, params = self.state, self.params
        # The rate of the epoch's first step, computed because a resumed training may not run that step.
        learning_rate = params.learning_rate * (1 - (state.epoch - 1) / params.epochs)
        epoch = EpochMetrics(state.epoch, learning_rate, train_loss, *self._validate())
        state.history.append(epoch)
        self.report(epoch)
        highest = max(state.history, key=lambda epoch: epoch.validation_balanced_accuracy)
        lower_bound = highest.validation_balanced_accuracy - highest.validation_standard_error
        is_best = epoch.validation_balanced_accuracy >= lower_bound
        _log_epoch(epoch, is_best, params, time.monotonic() - started)
        if is_best:
            state.best_epoch = epoch.epoch
            self.checkpoint.save_best(self.step.network.state_dict())

    def should_stop_early(self) -> bool:
        """Whether `patience` epochs have passed since the best epoch."""
        is_exhausted = self.state.epoch - self.state.best_epoch >= self.params.patience
        if is_exhausted:
            log.info("early stopping: no improvement for %d epochs", self.params.patience)
        return is_exhausted

    def _train_batches(self, started: float) -> None:
        state, device = self.state, self.step.log_shares.device
        # MPS has no float64.
        total = torch.tensor(
            state.loss_sum, device=device, dtype=torch.float32 if device.type == "mps" else torch.float64
        )
        self.step.network.train()

        def state_dict() -> dict[str, Any]:
            state.loss_sum, state.seconds = float(total), time.monotonic() - started
            return {"step": self.step.state_dict(), "trainer": asdict(state)}

        description = f"epoch {state.epoch + 1}/{self.params.epochs}"
        with Progress(len(self.training), "titles", description, state.titles_seen) as bar:
            for batch, labels in self._batches():
                titles = min(self.params.batch_size, len(self.training) - state.titles_seen)
                total += titles * self.step(batch, labels, titles)
                state.titles_seen += titles
                bar.update(titles)
                if state.titles_seen // STEP_METRICS_INTERVAL > (state.titles_seen - titles) // STEP_METRICS_INTERVAL:
                    self._report_step_metrics()
                self.checkpoint.save_when_due(state_dict)
        state.loss_sum = float(total)

    def _report_step_metrics(self) -> None:
        titles = self.state.epoch * len(self.training) + self.state.titles_seen
        *_, balanced_accuracy, _ = self._validate(SAMPLE_TITLES)
        self.step.network.train()
        log.info("after %s titles: balanced accuracy about %.4f", f"{titles:,}", balanced_accuracy)
        self.state.step_metrics.append(StepMetrics(titles, balanced_accuracy))
        self.report(self.state.step_metrics[-1])

    def _validate(self, max_titles: int | None = None) -> tuple[float, float, float, float]:
        return validate(self.step.network, self.validation, self.step.log_shares, self.params.objective, max_titles)

    def _batches(self) -> Iterator[tuple[Batch, Tensor]]:
        """This process's slices of the remaining batches of the epoch."""
        batches = _shuffled_batches(len(self.training), self.params, self.state.epoch, self.state.titles_seen)
        own = (rows[distributed.rank() :: distributed.world_size()] for rows in batches)
        return self.training.iterate(self.step.network, own)


def _shuffled_batches(num_rows: int, params: TrainParams, epoch: int, start: int) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of each batch, shuffled by seed and epoch alone, without the first `start` rows."""
    order = np.random.default_rng([params.seed, epoch]).permutation(num_rows)
    yield from (order[first : first + params.batch_size] for first in range(start, num_rows, params.batch_size))


def _log_epoch(epoch: EpochMetrics, is_best: bool, params: TrainParams, seconds: float) -> None:
    remaining = seconds / epoch.epoch * (params.epochs - epoch.epoch)
    log.info(
        "epoch %d/%d: train loss %.3f, validation loss %.3f, balanced accuracy %.4f%s; %s elapsed, at most %s left",
        epoch.epoch,
        params.epochs,
        epoch.train_loss,
        epoch.validation_loss,
        epoch.validation_balanced_accuracy,
        " (best)" if is_best else "",
        format_seconds(seconds),
        format_seconds(remaining),
    )
