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
from titles.data.encoded_dataset import Labelled
from titles.data.ragged import Ragged
from titles.metrics.history import Epoch, Point
from titles.nn import distributed
from titles.nn.hparams import TrainParams
from titles.nn.networks import Network
from titles.training.checkpoint import Checkpoint
from titles.training.loader import Batches
from titles.training.train_step import Step
from titles.training.validation import SAMPLE_TITLES, validate

log = logging.getLogger(__name__)

# So often within an epoch a sample of the validation titles tells how far training is.
POINT_TITLES = 1_000_000
KEPT = {"history": Epoch, "points": Point}


def train(
    network: Network,
    training: Labelled,
    validation: Labelled,
    spelling: Ragged,
    params: TrainParams,
    checkpoint: Checkpoint,
    report: Callable[[Epoch | Point], None],
) -> tuple[list[Epoch], int]:
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
    seen, unseen = (Batches(split, spelling, device) for split in (training, validation))
    # Of the many epochs that few titles take, so many are measured as were asked for.
    measured = max(1, epochs // asked)
    loop = _Loop(Step(network, training, params), seen, unseen, params, measured, checkpoint, report)
    loop.resume()
    known: list[Epoch | Point] = [*loop.place.points, *loop.place.history]
    for one in known:
        report(one)
    while loop.place.epoch < params.epochs and not loop.has_lost_patience():
        loop.train_epoch()
    if distributed.rank() == 0:
        network.load_state_dict(checkpoint.kept())
    return loop.place.history, loop.place.best


@dataclass
class _Place:
    """How far a training is: what is known, the epochs done, and of the next one the titles seen and their losses."""

    history: list[Epoch] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    best: int = 0
    epoch: int = 0
    titles: int = 0
    loss: float = 0.0
    seconds: float = 0.0


@dataclass
class _Loop:
    """What goes round: a step for every batch, and what is told and kept in between."""

    step: Step
    training: Batches
    validation: Batches
    params: TrainParams
    measured: int
    checkpoint: Checkpoint
    report: Callable[[Epoch | Point], None]
    place: _Place = field(default_factory=_Place)

    def resume(self) -> None:
        """Goes to where the checkpoint is, if there is one."""
        if (state := self.checkpoint.load()) is None:
            return
        self.step.restore(state["step"])
        place = state["place"]
        history, points = ([kind(**known) for known in place[name]] for name, kind in KEPT.items())
        self.place = _Place(**place | {"history": history, "points": points})
        log.info("goes on in epoch %d, after %s titles of it", self.place.epoch + 1, f"{self.place.titles:,}")

    def train_epoch(self) -> None:
        """Sees every title that this epoch has not seen yet; every `measured` epochs, and in the end, validates."""
        place = self.place
        started = time.monotonic() - place.seconds
        self._see_titles(started)
        train_loss = round(place.loss / len(self.training), 6)
        place.epoch, place.titles, place.loss = place.epoch + 1, 0, 0.0
        if place.epoch % self.measured == 0 or place.epoch == self.params.epochs:
            self._measure(train_loss, started)
        place.seconds = time.monotonic() - started

    def _measure(self, train_loss: float, started: float) -> None:
        place, params = self.place, self.params
        # As the schedule has it at the first step, which a resumed training no longer sees.
        learning_rate = params.learning_rate * (1 - (place.epoch - 1) / params.epochs)
        epoch = Epoch(place.epoch, learning_rate, train_loss, *self._validate())
        place.history.append(epoch)
        self.report(epoch)
        highest = max(place.history, key=lambda epoch: epoch.validation_balanced_accuracy)
        least = highest.validation_balanced_accuracy - highest.validation_standard_error
        is_best = epoch.validation_balanced_accuracy >= least
        _log_epoch(epoch, is_best, params, time.monotonic() - started)
        if is_best:
            place.best = epoch.epoch
            self.checkpoint.keep(self.step.network.state_dict())

    def has_lost_patience(self) -> bool:
        """Whether too many epochs were worse than the best."""
        lost = self.place.epoch - self.place.best >= self.params.patience
        if lost:
            log.info("stopped: no better for %d epochs", self.params.patience)
        return lost

    def _see_titles(self, started: float) -> None:
        place, device = self.place, self.step.log_shares.device
        # MPS has no longer floats.
        total = torch.tensor(place.loss, device=device, dtype=torch.float32 if device.type == "mps" else torch.float64)
        self.step.network.train()

        def state() -> dict[str, Any]:
            place.loss, place.seconds = float(total), time.monotonic() - started
            return {"step": self.step.state(), "place": asdict(place)}

        what = f"epoch {place.epoch + 1}/{self.params.epochs}"
        with Progress(len(self.training), "titles", what, place.titles) as bar:
            for batch, labels in self._batches():
                titles = min(self.params.batch_size, len(self.training) - place.titles)
                total += titles * self.step(batch, labels, titles)
                place.titles += titles
                bar.update(titles)
                if place.titles // POINT_TITLES > (place.titles - titles) // POINT_TITLES:
                    self._report_point()
                self.checkpoint.save_when_due(state)
        place.loss = float(total)

    def _report_point(self) -> None:
        titles = self.place.epoch * len(self.training) + self.place.titles
        *_, balanced_accuracy, _ = self._validate(SAMPLE_TITLES)
        self.step.network.train()
        log.info("after %s titles: balanced accuracy about %.4f", f"{titles:,}", balanced_accuracy)
        self.place.points.append(Point(titles, balanced_accuracy))
        self.report(self.place.points[-1])

    def _validate(self, most: int | None = None) -> tuple[float, float, float, float]:
        return validate(self.step.network, self.validation, self.step.log_shares, self.params.objective, most)

    def _batches(self) -> Iterator[tuple[Batch, Tensor]]:
        """Of all batches left of the epoch the part of this process."""
        shuffled = _shuffled(len(self.training), self.params, self.place.epoch, self.place.titles)
        own = (rows[distributed.rank() :: distributed.count()] for rows in shuffled)
        return self.training.of(self.step.network, own)


def _shuffled(rows: int, params: TrainParams, number: int, seen: int) -> Iterator[NDArray[np.int64]]:
    """The numbers of all rows but the first `seen` in batches, in an order that seed and epoch alone decide."""
    order = np.random.default_rng([params.seed, number]).permutation(rows)
    yield from (order[first : first + params.batch_size] for first in range(seen, rows, params.batch_size))


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
