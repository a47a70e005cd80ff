"""Training titles whose label is probably wrong, judged by networks that have not learned from them.

Two networks learn, each from one half of most titles and for a few epochs, in which wrong labels are not yet learned by
heart, and judge the labels of the other half. A label is suspect if another category is several times as probable, and
at least as probable as it is on average for the titles that are labelled so (Northcutt et al., 2021, Confident
learning: estimating uncertainty in dataset labels).

Where labels are right, suspects are the hard titles, and leaving these out costs accuracy. So that is tried first: of
two more networks which learn from one half, the one that learns without suspects must be right about significantly more
of the labels that no network has seen, as they are. The other half would not do: its labels decided what is suspect.
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

# The share of the titles that a trial is measured on.
MEASURED = 0.3
# Half of fewer titles, in all or of a category on average, is too little to judge by; of more titles these many are
# enough to learn from, and to compare on.
FEWEST_TITLES, FEWEST_OF_CATEGORIES, MOST_TITLES = 1_000, 20, 200_000
# How many times as probable as the label the other category must be. Of fewer suspects than this share too little is
# gained.
ODDS, LEAST_SHARE = 3.0, 0.03
# What a category's average probability is drawn to that of all, in titles.
PRIOR_TITLES = 5
# How long the networks learn, in parts of the training's own epochs and steps.
JUDGE, TRIAL = 1 / 4, 1 / 2
# By how many standard errors, and by which share of the titles, the number of right labels must grow.
SIGNIFICANCE, LEAST_GAIN = 2.0, 0.005
# A category keeps at least half of its titles; of fewer than this it keeps all.
FEWEST_OF_CATEGORY = 5


@dataclass(frozen=True)
class Judged:
    """Of each title the probability of its label, the most probable other category and its probability, [titles]."""

    of_label: NDArray[np.float32]
    other: NDArray[np.int32]
    of_other: NDArray[np.float32]

    @classmethod
    def empty(cls, titles: int) -> "Judged":
        """Of titles whose label nothing speaks against."""
        return cls(np.ones(titles, np.float32), np.zeros(titles, np.int32), np.zeros(titles, np.float32))

    def put(self, rows: NDArray[np.int64], found: "Judged") -> None:
        self.of_label[rows], self.other[rows], self.of_other[rows] = found.of_label, found.other, found.of_other

    def averages(self, labels: NDArray[np.int32], categories: int) -> NDArray[np.float64]:
        """The mean probability of each category for the titles that are labelled so, [categories]."""
        sums, counts = np.bincount(labels, self.of_label, categories), np.bincount(labels, minlength=categories)
        averages: NDArray[np.float64] = (sums + PRIOR_TITLES * self.of_label.mean()) / (counts + PRIOR_TITLES)
        return averages

    def suspects(self, averages: NDArray[np.float64]) -> NDArray[np.bool_]:
        is_suspect: NDArray[np.bool_] = self.of_other >= np.maximum(averages[self.other], ODDS * self.of_label)
        return is_suspect

    def from_first(self) -> "Judged":
        """What the first process found."""
        return Judged(*map(_from_first, (self.of_label, self.other, self.of_other)))


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
        unseen, *halves = np.split(order, _cuts(len(order)))
        some = validation.take(np.arange(min(len(validation), SAMPLE_TITLES)))
        judged, suspect_there = Judged.empty(len(training)), np.ones(len(validation), bool)
        for number, (own, other) in enumerate((halves, halves[::-1])):
            log.info("looking for wrong labels, half %d of 2", number + 1)
            judge = self._train(f"judge-{number}", training.take(own[:MOST_TITLES]), some, JUDGE)
            other = np.concatenate([other, unseen]) if number == 0 else other
            others = training.take(other)
            self._calibrate(judge, others)
            of_others, of_validation = self._judge(judge, others), self._judge(judge, validation)
            averages = of_others.averages(others.labels, len(self.log_shares))
            judged.put(other, of_others)
            suspect_there &= of_validation.suspects(averages)
        averages = judged.averages(training.labels, len(self.log_shares))
        suspect = _protect(judged.suspects(averages), judged.of_label, training.labels)
        log.info("%.1f %% of the labels look wrong", 100 * suspect.mean())
        if suspect.mean() < LEAST_SHARE or not self._is_gain(training, suspect, halves[0], unseen, some):
            return suspects
        return suspect, suspect_there

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

    def _judge(self, judge: Network, titles: Labelled) -> "Judged":
        judged, first = Judged.empty(len(titles)), 0
        for logits in predict(judge, titles.titles, self.spelling):
            probabilities, labels = logits.softmax(1).numpy(), titles.labels[first : first + len(logits)]
            # A label that train lacks is not judged.
            trained = np.flatnonzero(labels < probabilities.shape[1])
            places, of_trained = first + trained, labels[trained]
            judged.of_label[places] = probabilities[trained, of_trained]
            probabilities[trained, of_trained] = 0
            judged.other[places] = probabilities[trained].argmax(1)
            judged.of_other[places] = probabilities[trained].max(1)
            first += len(logits)
        return judged.from_first()

    def _is_gain(
        self,
        training: Labelled,
        suspect: NDArray[np.bool_],
        own: NDArray[np.int64],
        unseen: NDArray[np.int64],
        validation: Labelled,
    ) -> bool:
        """Whether a network that learns from its own titles without suspects names more labels of the unseen ones."""
        own, test, right = own[:MOST_TITLES], training.take(unseen[:MOST_TITLES]), []
        for name, rows in (("trial-all", own), ("trial-trusted", own[~suspect[own]])):
            log.info("trying %s of %s titles", f"{len(rows):,}", f"{len(own):,}")
            network = self._train(name, training.take(rows), validation, TRIAL)
            network.uncalibrate(self.log_shares)
            logits = predict(network, test.titles, self.spelling)
            best = np.concatenate([batch.numpy().argmax(1) for batch in logits])
            right.append(_from_first(best == test.labels))
        won, lost = (int((one & ~two).sum()) for one, two in (right[::-1], right))
        log.info("without suspects %s labels more and %s fewer are told right", f"{won:,}", f"{lost:,}")
        return won - lost > max(SIGNIFICANCE * math.sqrt(won + lost), LEAST_GAIN * len(test))


def _cuts(titles: int) -> list[int]:
    """Where the titles that a trial is measured on end, and where the first half of the others does."""
    measured = round(MEASURED * titles)
    return [measured, (measured + titles) // 2]


def _protect(suspect: NDArray[np.bool_], of_label: NDArray[np.float32], labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Those of the suspects that their category can do without, the least probable labels first, [titles]."""
    order = np.lexsort((of_label, ~suspect, labels))
    sizes = np.bincount(labels)
    starts = np.cumsum(sizes) - sizes
    ranks = np.empty(len(labels), np.int64)
    ranks[order] = np.arange(len(labels)) - starts[labels[order]]
    spared = np.where(sizes < FEWEST_OF_CATEGORY, 0, sizes // 2)
    is_spared: NDArray[np.bool_] = ranks < spared[labels]
    return suspect & is_spared


def _from_first(values: NDArray[Any]) -> NDArray[Any]:
    """What the first process found, which alone has the weights of the best epoch."""
    if processes.count() > 1:
        values = values if processes.rank() == 0 else np.zeros_like(values)
        return processes.add_up(torch.from_numpy(values.astype(np.float32))).numpy().astype(values.dtype)
    return values
