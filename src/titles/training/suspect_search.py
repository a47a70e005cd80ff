"""Search for labels that are probably wrong, by two-fold cross-validation.

Each of two networks learns from one half of the training titles and predicts the other half. They learn for a fraction
of a full training, because later a network memorises wrong labels. `titles.training.suspect_labels` decides from their
out-of-sample probabilities which labels are suspect; a reviewed label never is. A second round repeats this without the
suspects of the first, which may improve the predictions, as in Iterative Learning with Open-set Noisy Labels (Wang et
al., 2018).

If the labels are right, the suspects are the hard titles, and leaving these out costs accuracy. So each round is first
tried on a sample. A network trained without the suspects must predict significantly more labels of held-out titles than
one trained with them. The second round only has to predict more than the first.
"""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from titles.data.encoded_dataset import LabelledDataset
from titles.data.ragged import Ragged
from titles.nn.hparams import MlpParams, TrainParams
from titles.nn.networks import Network
from titles.training.checkpoint import Checkpoint
from titles.training.out_of_sample import correct_predictions, label_probabilities
from titles.training.suspect_labels import required_titles_by_group
from titles.training.trainer import train
from titles.training.validation import SAMPLE_TITLES, calibrate_on

log = logging.getLogger(__name__)

# The rows of two halves of the training titles.
Halves = tuple[NDArray[np.int64], NDArray[np.int64]]
# Whether each label is suspect, of the training titles and of the validation titles.
Suspects = tuple[NDArray[np.bool_], NDArray[np.bool_]]

# The share of the titles that a trial holds out for its test.
TRIAL_TEST_SIZE = 0.3
# With fewer titles, in all or on average in a category, half of them is too few to learn from. More than MAX_TITLES are
# not needed to learn from or to compare on.
MIN_TITLES, MIN_TITLES_PER_CATEGORY, MAX_TITLES = 1_000, 20, 200_000
MAX_ROUNDS = 2
# The network that trains fastest, and the same for MLP and CNN, so that both are trained on the same titles.
CROSS_VALIDATION_PARAMS = MlpParams(hidden_layers=1, hidden_units=256, filters=64)
# The length of a training, as a fraction of `train.epochs` and `train.min_steps`.
CROSS_VALIDATION_FRACTION, TRIAL_FRACTION = 1 / 4, 1 / 2
# A smaller share of suspects is not left out. The gain in correct predictions must exceed so many standard
# errors and this share of the test titles.
MIN_SUSPECT_FRACTION, MIN_STANDARD_ERRORS, MIN_GAIN = 0.03, 2.0, 0.005
# With a smaller share of suspects, a second round improves the predictions too little.
SECOND_ROUND_FRACTION = 0.1


@dataclass(frozen=True)
class SuspectSearch:
    """Searches with the networks that `build` returns; each trains with the checkpoint of its name."""

    build: Callable[[], Network]
    checkpoint: Callable[[str], Checkpoint]
    subword_ids: Ragged
    log_shares: Tensor
    params: TrainParams

    def find(self, training: LabelledDataset, validation: LabelledDataset) -> Suspects:
        """Find the suspect labels; there are none if leaving them out does not help. Equal in all processes."""
        suspects = np.zeros(len(training), bool), np.zeros(len(validation), bool)
        is_small = len(training) < max(MIN_TITLES, MIN_TITLES_PER_CATEGORY * len(self.log_shares))
        # Reviewed labels cannot be suspect.
        if is_small or np.mean(~training.reliable) < MIN_SUSPECT_FRACTION:
            return suspects
        order = np.random.default_rng(self.params.seed).permutation(len(training))
        rounds = self._count_useful_rounds(training, validation, order)
        first_half, second_half = np.array_split(order, 2)
        for index in range(rounds):
            log.info("searching all titles for suspect labels, round %d of %d", index + 1, rounds)
            # Only the last round has to predict all titles; an earlier one those that the next round learns from.
            max_predicted = MAX_TITLES if index < rounds - 1 else len(order)
            # One group, because the final network learns from both halves.
            suspects = self._run_round(
                f"all-{index}", training, validation, (first_half, second_half), [order], suspects[0], max_predicted
            )
        if rounds:
            log.info("%.1f %% of the labels are suspect and are left out", 100 * suspects[0].mean())
        else:
            log.info("leaving out suspect labels does not help: training uses all titles")
        return suspects

    def _count_useful_rounds(
        self, training: LabelledDataset, validation: LabelledDataset, order: NDArray[np.int64]
    ) -> int:
        """Try one round after another on a sample of the titles, until one does not help."""
        held_out, first, second = np.split(order, _split_points(len(order)))
        halves, test = (first[:MAX_TITLES], second[:MAX_TITLES]), training.take(held_out[:MAX_TITLES])
        half, previous, is_correct = halves[0], np.zeros(len(training), bool), None
        for index in range(MAX_ROUNDS):
            log.info("trial on a sample: searching for suspect labels, round %d", index + 1)
            suspects, _ = self._run_round(f"trial-{index}", training, validation, halves, halves, previous, MAX_TITLES)
            if suspects[half].mean() < MIN_SUSPECT_FRACTION:
                return index
            if is_correct is None:
                is_correct = self._correct_predictions("trial-all", training.take(half), validation, test)
            rest = training.take(half[~suspects[half]])
            now_correct = self._correct_predictions(f"trial-{index}", rest, validation, test)
            gained, lost = int((now_correct & ~is_correct).sum()), int((is_correct & ~now_correct).sum())
            log.info(
                "trial: without suspects, %s more predictions are right and %s more wrong", f"{gained:,}", f"{lost:,}"
            )
            if gained <= lost or (not index and not is_significant_gain(gained, lost, len(test))):
                return index
            if suspects[half].mean() < SECOND_ROUND_FRACTION:
                return index + 1
            previous, is_correct = suspects, now_correct
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
        """Train a network on each half, without the previous suspects, and find the suspects of the other half.

        A validation label is suspect if both networks find it so. Within each of `groups`, every category retains its
        `required_titles`.
        """
        odds, validation_suspects = np.zeros(len(training), np.float32), np.ones(len(validation), bool)
        for fold, (own, others) in enumerate((halves, halves[::-1])):
            own, others = own[:MAX_TITLES], others[:max_predicted]
            trusted = own[~previous_suspects[own]]
            network = self._train(f"{name}-fold-{fold}", training.take(trusted), validation, CROSS_VALIDATION_FRACTION)
            titles = training.take(others)
            calibrate_on(titles, network, self.subword_ids, self.log_shares)
            probs = label_probabilities(network, titles, self.subword_ids)
            means = probs.mean_label_probs(titles.labels, len(self.log_shares))
            is_suspect = probs.suspects(means)
            odds[others[is_suspect]] = (probs.other_probs / probs.label_probs)[is_suspect]
            validation_suspects &= label_probabilities(network, validation, self.subword_ids).suspects(means)
        is_required = required_titles_by_group(groups, odds, training.labels)
        return (odds > 0) & ~training.reliable & ~is_required, validation_suspects & ~validation.reliable

    def _train(self, name: str, titles: LabelledDataset, validation: LabelledDataset, fraction: float) -> Network:
        """Train a new network on `titles` for a fraction of a full training."""
        epochs, min_steps = (math.ceil(fraction * number) for number in (self.params.epochs, self.params.min_steps))
        params, network = replace(self.params, epochs=epochs, min_steps=min_steps), self.build()
        sample = validation.take(np.arange(min(len(validation), SAMPLE_TITLES)))
        train(network, titles, sample, self.subword_ids, params, self.checkpoint(name), lambda _: None)
        return network

    def _correct_predictions(
        self, name: str, titles: LabelledDataset, validation: LabelledDataset, test: LabelledDataset
    ) -> NDArray[np.bool_]:
        """Whether a network trained on `titles` predicts the label of each test title, [test titles]."""
        log.info("trial: training on %s titles", f"{len(titles):,}")
        network = self._train(name, titles, validation, TRIAL_FRACTION)
        network.reset_calibration(self.log_shares)
        return correct_predictions(network, test, self.subword_ids)


def is_significant_gain(gained: int, lost: int, titles: int) -> bool:
    """Whether `gained` more and `lost` fewer correct predictions of `titles` titles are a significant gain."""
    return gained - lost > max(MIN_STANDARD_ERRORS * math.sqrt(gained + lost), MIN_GAIN * titles)


def _split_points(titles: int) -> list[int]:
    """The ends of a trial's test titles and of the first half of the other titles."""
    test = round(TRIAL_TEST_SIZE * titles)
    return [test, (test + titles) // 2]
