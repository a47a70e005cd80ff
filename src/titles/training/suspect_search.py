"""Looks for training titles whose label is probably wrong, by networks that have not learned from them.

Two networks learn, each from one half of the titles and for a small part of a training, in which wrong labels are not
yet learned by heart, and predict the other half. `titles.training.suspect_labels` decides by these probabilities which
labels are suspect; a reviewed label never is. Two more networks that learn without these suspects may judge
better, as in Iterative learning with open-set noisy labels (Wang et al., 2018).

Where labels are right, suspects are the hard titles, and leaving these out costs accuracy. So every round is tried
first, on a part of the titles: a network that learns without suspects must be right about significantly more of the
labels that no network has seen, as they are, than one that learns from the same titles with them. Of a second round it
is enough to be better than the first.
"""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from titles.data.encoded_dataset import LabelledDataset
from titles.data.ragged import Ragged
from titles.metrics.calibration import fit_calibration
from titles.nn import distributed
from titles.nn.hparams import MlpParams, TrainParams
from titles.nn.networks import Network, predict
from titles.training.checkpoint import Checkpoint
from titles.training.suspect_labels import LabelProbabilities, required_titles_by_group
from titles.training.trainer import train
from titles.training.validation import SAMPLE_TITLES

log = logging.getLogger(__name__)

Halves = tuple[NDArray[np.int64], NDArray[np.int64]]
# Of training titles and of validation titles.
Suspects = tuple[NDArray[np.bool_], NDArray[np.bool_]]

# The share of the titles that a trial is measured on.
TRIAL_TEST_SIZE = 0.3
# Half of fewer titles, in all or of a category on average, is too little to judge by; of more titles these many are
# enough to learn from, and to compare on.
MIN_TITLES, MIN_TITLES_PER_CATEGORY, MAX_TITLES = 1_000, 20, 200_000
MAX_ROUNDS = 2
# Judges are of one kind, which learns in the shortest time, so that all networks leave out the same titles.
CROSS_VALIDATION_PARAMS = MlpParams(hidden_layers=1, hidden_units=256, filters=64)
# How long the networks learn, in parts of the training's own epochs and steps.
CROSS_VALIDATION_FRACTION, TRIAL_FRACTION = 1 / 4, 1 / 2
# Of fewer suspects than this share too little is gained. By how many standard errors, and by which share of the titles,
# the number of right labels must grow.
MIN_SUSPECT_FRACTION, MIN_STANDARD_ERRORS, MIN_GAIN = 0.03, 2.0, 0.005
# Fewer suspects than this share do not make judges so much worse that a second round would pay.
SECOND_ROUND_FRACTION = 0.1


@dataclass(frozen=True)
class SuspectSearch:
    """Trains the networks that `build` makes, each with the checkpoint of its name."""

    build: Callable[[], Network]
    checkpoint: Callable[[str], Checkpoint]
    subword_ids: Ragged
    log_shares: Tensor
    params: TrainParams

    def find(self, training: LabelledDataset, validation: LabelledDataset) -> Suspects:
        """Whether each label of `training` and of `validation` is suspect; none is where leaving them out is no gain.

        Equal in all processes.
        """
        suspects = np.zeros(len(training), bool), np.zeros(len(validation), bool)
        is_small = len(training) < max(MIN_TITLES, MIN_TITLES_PER_CATEGORY * len(self.log_shares))
        # Only a label that nobody reviewed can be suspect.
        if is_small or np.mean(~training.reliable) < MIN_SUSPECT_FRACTION:
            return suspects
        order = np.random.default_rng(self.params.seed).permutation(len(training))
        rounds = self._count_useful_rounds(training, validation, order)
        for number in range(rounds):
            half, rest = np.array_split(order, 2)
            log.info("looking for wrong labels among all titles, round %d of %d", number + 1, rounds)
            # Of more titles than a judge learns from, the last judges alone are asked about all.
            judged = MAX_TITLES if number < rounds - 1 else len(order)
            # The network learns from both halves together.
            suspects = self._run_round(
                f"all-{number}", training, validation, (half, rest), [order], suspects[0], judged
            )
        if rounds:
            log.info("%.1f %% of the labels look wrong and are left out", 100 * suspects[0].mean())
        else:
            log.info("leaving out labels that look wrong is no gain: all titles are kept")
        return suspects

    def _count_useful_rounds(
        self, training: LabelledDataset, validation: LabelledDataset, order: NDArray[np.int64]
    ) -> int:
        """Tries the rounds on a part of the titles, until one is no gain."""
        unseen, first, second = np.split(order, _split_points(len(order)))
        halves, test = (first[:MAX_TITLES], second[:MAX_TITLES]), training.take(unseen[:MAX_TITLES])
        own, suspect, right = halves[0], np.zeros(len(training), bool), None
        for number in range(MAX_ROUNDS):
            log.info("looking for wrong labels in a part of the titles, round %d", number + 1)
            found, _ = self._run_round(f"trial-{number}", training, validation, halves, halves, suspect, MAX_TITLES)
            if found[own].mean() < MIN_SUSPECT_FRACTION:
                return number
            if right is None:
                right = self._correct_predictions("trial-all", training.take(own), validation, test)
            now_right = self._correct_predictions(f"trial-{number}", training.take(own[~found[own]]), validation, test)
            won, lost = int((now_right & ~right).sum()), int((right & ~now_right).sum())
            log.info("without suspects %s labels more and %s fewer are told right", f"{won:,}", f"{lost:,}")
            if won <= lost or (not number and not is_significant_gain(won, lost, len(test))):
                return number
            if found[own].mean() < SECOND_ROUND_FRACTION:
                return number + 1
            suspect, right = found, now_right
        return MAX_ROUNDS

    def _run_round(
        self,
        name: str,
        training: LabelledDataset,
        validation: LabelledDataset,
        halves: Halves,
        groups: Sequence[NDArray[np.int64]],
        previous_suspects: NDArray[np.bool_],
        max_predicted: int,
    ) -> Suspects:
        """The suspects of both halves, by judges that learn without those of before; of validation where both agree.

        Of every category so many are never suspect as each of the groups `kept` needs.
        """
        odds, suspect_there = np.zeros(len(training), np.float32), np.ones(len(validation), bool)
        for number, (own, others) in enumerate((halves, halves[::-1])):
            own, others = own[:MAX_TITLES], others[:max_predicted]
            judge = self._train(
                f"{name}-judge-{number}",
                training.take(own[~previous_suspects[own]]),
                validation,
                CROSS_VALIDATION_FRACTION,
            )
            titles = training.take(others)
            self._calibrate(judge, titles)
            judged = self._label_probabilities(judge, titles)
            averages = judged.mean_label_probs(titles.labels, len(self.log_shares))
            is_suspect = judged.suspects(averages)
            odds[others[is_suspect]] = (judged.other_probs / judged.label_probs)[is_suspect]
            suspect_there &= self._label_probabilities(judge, validation).suspects(averages)
        is_needed = required_titles_by_group(groups, odds, training.labels)
        return (odds > 0) & ~training.reliable & ~is_needed, suspect_there & ~validation.reliable

    def _train(self, name: str, titles: LabelledDataset, validation: LabelledDataset, fraction: float) -> Network:
        epochs, min_steps = (math.ceil(fraction * number) for number in (self.params.epochs, self.params.min_steps))
        params, network = replace(self.params, epochs=epochs, min_steps=min_steps), self.build()
        some = validation.take(np.arange(min(len(validation), SAMPLE_TITLES)))
        train(network, titles, some, self.subword_ids, params, self.checkpoint(name), lambda _: None)
        return network

    def _calibrate(self, network: Network, titles: LabelledDataset) -> None:
        """By titles from which it has not learned."""
        sample = titles.take(np.arange(min(len(titles), SAMPLE_TITLES)))
        logits = torch.cat(list(predict(network, sample.titles, self.subword_ids)))
        found = fit_calibration(logits, torch.from_numpy(sample.labels).long(), self.log_shares)
        network.temperature.fill_(found.temperature)
        network.calibration_bias.copy_(found.share_weight * self.log_shares)

    def _label_probabilities(self, network: Network, titles: LabelledDataset) -> LabelProbabilities:
        judged, first = LabelProbabilities.empty(len(titles)), 0
        for logits in predict(network, titles.titles, self.subword_ids):
            labels = titles.labels[first : first + len(logits)]
            # A probability of zero is one too small for a float.
            probabilities = logits.softmax(1).clamp_(min=torch.finfo().tiny).numpy()
            # A label that train lacks is not judged.
            trained = np.flatnonzero(labels < probabilities.shape[1])
            places, of_trained = first + trained, labels[trained]
            judged.label_probs[places] = probabilities[trained, of_trained]
            probabilities[trained, of_trained] = 0
            judged.other_category[places] = probabilities[trained].argmax(1)
            judged.other_probs[places] = probabilities[trained].max(1)
            first += len(logits)
        return LabelProbabilities(*map(_broadcast, (judged.label_probs, judged.other_category, judged.other_probs)))

    def _correct_predictions(
        self, name: str, titles: LabelledDataset, validation: LabelledDataset, test: LabelledDataset
    ) -> NDArray[np.bool_]:
        """Whether a network that learns from `titles` names the label of each title of `test`, [test titles]."""
        log.info("trying to learn from %s titles", f"{len(titles):,}")
        network = self._train(name, titles, validation, TRIAL_FRACTION)
        network.reset_calibration(self.log_shares)
        best = [logits.numpy().argmax(1) for logits in predict(network, test.titles, self.subword_ids)]
        return _broadcast(np.concatenate(best) == test.labels)


def is_significant_gain(won: int, lost: int, titles: int) -> bool:
    """Whether so many labels that are told right now, and so many that no longer are, speak for what was tried."""
    return won - lost > max(MIN_STANDARD_ERRORS * math.sqrt(won + lost), MIN_GAIN * titles)


def _split_points(titles: int) -> list[int]:
    """Where the titles that a trial is measured on end, and where the first half of the others does."""
    measured = round(TRIAL_TEST_SIZE * titles)
    return [measured, (measured + titles) // 2]


def _broadcast(values: NDArray[Any]) -> NDArray[Any]:
    """What the first process found, which alone has the weights of the best epoch."""
    if distributed.world_size() > 1:
        values = values if distributed.rank() == 0 else np.zeros_like(values)
        return distributed.all_reduce(torch.from_numpy(values.astype(np.float32))).numpy().astype(values.dtype)
    return values
