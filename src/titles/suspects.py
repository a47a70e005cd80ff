"""Training titles whose label is probably wrong, judged by networks that have not learned from them.

Two networks learn, each from one half of the titles and for a few epochs, in which wrong labels are not yet learned by
heart, and judge the labels of the other half (Northcutt et al., 2021, Confident learning: estimating uncertainty in
dataset labels). Where labels are right, those that look wrong are the hard titles, and leaving these out costs
accuracy. So that is tried first: of two more networks which learn from one half, the one that learned without suspects
must be right about significantly more labels of the other half, as they are.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from titles import processes
from titles.calibration import fit_calibration
from titles.checkpoint import Checkpoint
from titles.embedded import Labelled
from titles.hyperparameters import TrainParams
from titles.networks import Network, predict
from titles.ragged import Ragged
from titles.training import train
from titles.validation import SAMPLE_TITLES

log = logging.getLogger(__name__)

# Half of fewer titles, in all or of a category on average, is too little to judge by; of more titles these many are
# enough to learn from, and to compare on.
FEWEST_TITLES, FEWEST_OF_CATEGORIES, MOST_TITLES = 1_000, 20, 200_000
# A label is suspect if another is so many times as probable. Of fewer suspects than this share nothing can be gained.
ODDS, LEAST_SHARE = 9.0, 0.05
# How long the networks learn, in parts of the training's own epochs and steps.
JUDGE, TRIAL = 3 / 8, 1 / 2
# By how many standard errors, and by which share of the titles, the number of right labels must grow.
SIGNIFICANCE, LEAST_GAIN = 3.0, 0.01
# A category keeps at least half of its titles; of fewer than this it keeps all.
FEWEST_OF_CATEGORY = 5


@dataclass(frozen=True)
class SuspectSearch:
    """Trains the networks that `build` makes, each with the checkpoint of its name."""

    build: Callable[[], Network]
    checkpoint: Callable[[str], Checkpoint]
    spelling: Ragged
    log_shares: Tensor
    params: TrainParams

    def find(self, training: Labelled, validation: Labelled) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether each label of `training` and of `validation` is suspect; none is where leaving them out is no gain.

        Equal in all processes.
        """
        suspects = np.zeros(len(training), bool), np.zeros(len(validation), bool)
        if len(training) < max(FEWEST_TITLES, FEWEST_OF_CATEGORIES * len(self.log_shares)):
            return suspects
        order = np.random.default_rng(self.params.seed).permutation(len(training))
        halves = np.array_split(order, 2)
        some = validation.take(np.arange(min(len(validation), SAMPLE_TITLES)))
        odds, of_validation = np.empty(len(training), np.float32), np.zeros(len(validation), np.float32)
        for number, (own, other) in enumerate((halves, halves[::-1])):
            log.info("looking for wrong labels, half %d of 2", number + 1)
            judge = self._train(f"judge-{number}", training.take(own[:MOST_TITLES]), some, JUDGE)
            others = training.take(other)
            self._calibrate(judge, others)
            odds[other] = _from_first(self._odds(judge, others))
            of_validation += _from_first(self._odds(judge, validation)) / 2
        suspect = _protect(odds, training.labels)
        log.info("%.1f %% of the labels look wrong", 100 * suspect.mean())
        if suspect.mean() < LEAST_SHARE or not self._is_gain(training, suspect, halves, some):
            return suspects
        return suspect, of_validation > math.log(ODDS)

    def _train(self, name: str, titles: Labelled, validation: Labelled, part: float) -> Network:
        epochs, min_steps = (math.ceil(part * number) for number in (self.params.epochs, self.params.min_steps))
        params, network = replace(self.params, epochs=epochs, min_steps=min_steps), self.build()
        train(network, titles, validation, self.spelling, params, self.checkpoint(name), lambda _: None)
        return network

    def _calibrate(self, judge: Network, titles: Labelled) -> None:
        """By titles from which it has not learned."""
        sample = titles.take(np.arange(min(len(titles), SAMPLE_TITLES)))
        logits = torch.cat(list(predict(judge, sample.titles, self.spelling)))
        found = fit_calibration(logits, torch.from_numpy(sample.labels).long(), self.log_shares)
        judge.temperature.fill_(found.temperature)
        judge.calibration_bias.copy_(found.share_weight * self.log_shares)

    def _odds(self, judge: Network, titles: Labelled) -> NDArray[np.float32]:
        """The log of how many times as probable as its label the most probable other category of a title is, [titles].

        Minus infinity where the label is of a category that train lacks.
        """
        odds, first = np.full(len(titles), -np.inf, np.float32), 0
        for logits in predict(judge, titles.titles, self.spelling):
            scores, labels = logits.numpy(), titles.labels[first : first + len(logits)]
            rows = np.flatnonzero(labels < scores.shape[1])
            of_labels = scores[rows, labels[rows]]
            scores[rows, labels[rows]] = -np.inf
            odds[first + rows] = scores[rows].max(1) - of_labels
            first += len(scores)
        return odds

    def _is_gain(
        self,
        training: Labelled,
        suspect: NDArray[np.bool_],
        halves: list[NDArray[np.int64]],
        validation: Labelled,
    ) -> bool:
        """Whether a network that learns from one half without its suspects names more labels of the other half."""
        own, other = (half[:MOST_TITLES] for half in halves)
        unseen, right = training.take(other), []
        for name, rows in (("trial-all", own), ("trial-trusted", own[~suspect[own]])):
            log.info("trying %s of %s titles", f"{len(rows):,}", f"{len(own):,}")
            network = self._train(name, training.take(rows), validation, TRIAL)
            network.uncalibrate(self.log_shares)
            logits = predict(network, unseen.titles, self.spelling)
            best = np.concatenate([batch.numpy().argmax(1) for batch in logits])
            right.append(_from_first(best == unseen.labels))
        won, lost = (int((one & ~two).sum()) for one, two in (right[::-1], right))
        log.info("without suspects %s labels more and %s fewer are told right", f"{won:,}", f"{lost:,}")
        return won - lost > max(SIGNIFICANCE * math.sqrt(won + lost), LEAST_GAIN * len(unseen))


def _protect(odds: NDArray[np.float32], labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Which titles have the odds of suspects and are not needed by their category, [titles]."""
    order = np.lexsort((-odds, labels))
    sizes = np.bincount(labels)
    starts = np.cumsum(sizes) - sizes
    ranks = np.empty(len(labels), np.int64)
    ranks[order] = np.arange(len(labels)) - starts[labels[order]]
    allowed = np.where(sizes < FEWEST_OF_CATEGORY, 0, sizes // 2)
    is_suspect: NDArray[np.bool_] = (odds > math.log(ODDS)) & (ranks < allowed[labels])
    return is_suspect


def _from_first(values: NDArray[Any]) -> NDArray[Any]:
    """What the first process found, which alone has the weights of the best epoch."""
    if processes.count() > 1:
        values = values if processes.rank() == 0 else np.zeros_like(values)
        return processes.add_up(torch.from_numpy(values.astype(np.float32))).numpy().astype(values.dtype)
    return values
