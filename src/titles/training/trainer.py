"""One loop for every network: it knows batches, logits and labels, and nothing of MLP or CNN."""

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

# So often within an epoch a sample of the validation titles tells how far training is.
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
    """Trains `network` from `checkpoint` on, or from the start; returns the measured epochs and the number of the best.

    The best is the last that validation cannot tell from the one with the highest balanced accuracy: within one
    standard error of that balanced accuracy. On few titles the highest is a matter of luck, and the later epoch, of a
    lower learning rate, the better one. Ends early when no epoch was that good for `params.patience` epochs. Where
    `params.min_steps` takes more epochs than `params.epochs`, patience grows in proportion. The network of the first
    process ends with the weights of the best epoch.
    """
    asked, epochs = params.epochs, params.num_epochs(len(training))
    # The learning rate falls with the steps, not the epochs, so shorter epochs must be waited for longer.
    params = replace(params, epochs=epochs, patience=-(-params.patience * epochs // params.epochs))
    device = network.output.bias.device
    seen, unseen = (BatchLoader(split, subword_ids, device) for split in (training, validation))
    # Of the many epochs that few titles take, so many are measured as were asked for.
    measured = max(1, epochs // asked)
    loop = _Trainer(TrainStep(network, training, params), seen, unseen, params, measured, checkpoint, report)
    loop.resume()
    known: list[EpochMetrics | StepMetrics] = [*loop.state.step_metrics, *loop.state.history]
    for one in known:
        report(one)
    while loop.state.epoch < params.epochs and not loop.should_stop_early():
        loop.train_epoch()
    if distributed.rank() == 0:
        network.load_state_dict(checkpoint.load_best())
    return loop.state.history, loop.state.best_epoch


@dataclass
class _TrainerState:
    """How far a training is: what is known, the epochs done, and of the next one the titles seen and their losses."""

    history: list[EpochMetrics] = field(default_factory=list)
    step_metrics: list[StepMetrics] = field(default_factory=list)
    best_epoch: int = 0
    epoch: int = 0
    titles_seen: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0


@dataclass
class _Trainer:
    """What goes round: a step for every batch, and what is told and kept in between."""

    step: TrainStep
    training: BatchLoader
    validation: BatchLoader
    params: TrainParams
    validation_interval: int
    checkpoint: Checkpoint
    report: Callable[[EpochMetrics | StepMetrics], None]
    state: _TrainerState = field(default_factory=_TrainerState)

    def resume(self) -> None:
        """Goes to where the checkpoint is, if there is one."""
        if (state := self.checkpoint.load()) is None:
            return
        self.step.load_state_dict(state["step"])
        saved = state["trainer"]
        histories = {name: [kind(**known) for known in saved[name]] for name, kind in HISTORY_TYPES.items()}
        self.state = _TrainerState(**saved | histories)
        log.info("goes on in epoch %d, after %s titles of it", self.state.epoch + 1, f"{self.state.titles_seen:,}")

    def train_epoch(self) -> None:
        """Sees every title that this epoch has not seen yet; every `measured` epochs, and in the end, validates."""
        place = self.state
        started = time.monotonic() - place.seconds
        self._train_batches(started)
        train_loss = round(place.loss_sum / len(self.training), 6)
        place.epoch, place.titles_seen, place.loss_sum = place.epoch + 1, 0, 0.0
        if place.epoch % self.validation_interval == 0 or place.epoch == self.params.epochs:
            self._validate_epoch(train_loss, started)
        place.seconds = time.monotonic() - started

    def _validate_epoch(self, train_loss: float, started: float) -> None:
        place, params = self.state, self.params
        # As the schedule has it at the first step, which a resumed training no longer sees.
        learning_rate = params.learning_rate * (1 - (place.epoch - 1) / params.epochs)
        epoch = EpochMetrics(place.epoch, learning_rate, train_loss, *self._validate())
        place.history.append(epoch)
        self.report(epoch)
        highest = max(place.history, key=lambda epoch: epoch.validation_balanced_accuracy)
        least = highest.validation_balanced_accuracy - highest.validation_standard_error
        is_best = epoch.validation_balanced_accuracy >= least
        _log_epoch(epoch, is_best, params, time.monotonic() - started)
        if is_best:
            place.best_epoch = epoch.epoch
            self.checkpoint.save_best(self.step.network.state_dict())

    def should_stop_early(self) -> bool:
        """Whether too many epochs were worse than the best."""
        lost = self.state.epoch - self.state.best_epoch >= self.params.patience
        if lost:
            log.info("stopped: no better for %d epochs", self.params.patience)
        return lost

    def _train_batches(self, started: float) -> None:
        place, device = self.state, self.step.log_shares.device
        # MPS has no longer floats.
        total = torch.tensor(
            place.loss_sum, device=device, dtype=torch.float32 if device.type == "mps" else torch.float64
        )
        self.step.network.train()

        def state() -> dict[str, Any]:
            place.loss_sum, place.seconds = float(total), time.monotonic() - started
            return {"step": self.step.state_dict(), "trainer": asdict(place)}

        what = f"epoch {place.epoch + 1}/{self.params.epochs}"
        with Progress(len(self.training), "titles", what, place.titles_seen) as bar:
            for batch, labels in self._batches():
                titles = min(self.params.batch_size, len(self.training) - place.titles_seen)
                total += titles * self.step(batch, labels, titles)
                place.titles_seen += titles
                bar.update(titles)
                if place.titles_seen // STEP_METRICS_INTERVAL > (place.titles_seen - titles) // STEP_METRICS_INTERVAL:
                    self._report_step_metrics()
                self.checkpoint.save_when_due(state)
        place.loss_sum = float(total)

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
        """Of all batches left of the epoch the part of this process."""
        shuffled = _shuffled_batches(len(self.training), self.params, self.state.epoch, self.state.titles_seen)
        own = (rows[distributed.rank() :: distributed.world_size()] for rows in shuffled)
        return self.training.iterate(self.step.network, own)


def _shuffled_batches(num_rows: int, params: TrainParams, epoch: int, start: int) -> Iterator[NDArray[np.int64]]:
    """The numbers of all rows but the first `seen` in batches, in an order that seed and epoch alone decide."""
    order = np.random.default_rng([params.seed, epoch]).permutation(num_rows)
    yield from (order[first : first + params.batch_size] for first in range(start, num_rows, params.batch_size))


def _log_epoch(epoch: EpochMetrics, is_best: bool, params: TrainParams, seconds: float) -> None:
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
