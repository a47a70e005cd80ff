"""Validation during training, by all processes together; calibration and score thresholds after it."""

import logging
import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from titles.core.progress import Progress
from titles.data.encoded_dataset import LabelledDataset, Vocabulary
from titles.data.ragged import Ragged
from titles.metrics.calibration import Calibration, fit_calibration
from titles.metrics.classification import balanced_accuracy, smoothed_standard_error
from titles.metrics.thresholds import Threshold, select_thresholds
from titles.nn import distributed
from titles.nn.decision import decision_weights
from titles.nn.hparams import OBJECTIVES
from titles.nn.networks import Network, predict
from titles.training.loader import BatchLoader

log = logging.getLogger(__name__)

# Enough to fit the two parameters of the calibration. The logits of millions of titles would not fit in memory.
SAMPLE_TITLES = 20_000
BATCH_SIZE = 1024
# The label that torch's cross entropy ignores.
IGNORE_INDEX = -100


@torch.inference_mode()
def validate(
    network: Network, validation: BatchLoader, log_shares: Tensor, objective: str, max_titles: int | None = None
) -> tuple[float, float, float, float]:
    """Compute loss, accuracy, balanced accuracy and its standard error on the first `max_titles` titles, or on all.

    The titles are in random order, so the first ones are a random sample.

    The network is not calibrated yet. With `log_shares`, float32 [categories], added, its logits follow the category
    distribution of the training titles. The loss is computed from these, and the predicted category is chosen for the
    objective. Titles of categories that train lacks have no loss; if there are no others, the loss is NaN.
    """
    network.eval()
    rows = np.arange(len(validation))[:max_titles]
    own = rows[distributed.rank() :: distributed.world_size()]
    batches = [own[first : first + BATCH_SIZE] for first in range(0, len(own), BATCH_SIZE)]
    device = validation.device
    own_predicted = []
    # MPS has no float64.
    totals = torch.zeros(2, dtype=torch.float32 if device.type == "mps" else torch.float64, device=device)
    with Progress(len(own), "titles", "validating") as bar:
        for batch, labels in validation.iterate(network, batches):
            logits = network(batch) + log_shares
            is_trained = labels < logits.shape[1]
            loss_sum = F.cross_entropy(logits, torch.where(is_trained, labels, IGNORE_INDEX), reduction="sum")
            totals += torch.stack([loss_sum, is_trained.sum()])
            own_predicted.append((logits - OBJECTIVES[objective] * log_shares).argmax(1))
            bar.update(len(logits))
    predicted = torch.zeros(len(rows), dtype=torch.int64, device=device)
    if own_predicted:
        predicted[torch.from_numpy(own).to(device)] = torch.cat(own_predicted)
    total_loss, count = distributed.all_reduce(totals).tolist()
    loss = total_loss / count if count else math.nan
    metrics = _metrics(validation.titles.labels[rows], distributed.all_reduce(predicted).cpu().numpy())
    return round(loss, 6), *metrics


def _metrics(labels: NDArray[np.int32], predicted: NDArray[np.int64]) -> tuple[float, float, float]:
    """Accuracy, balanced accuracy and the standard error of balanced accuracy, rounded."""
    accuracy, balanced = float((predicted == labels).mean()), balanced_accuracy(labels, predicted)
    return round(accuracy, 6), round(balanced, 6), round(smoothed_standard_error(labels, predicted), 6)


def calibrate(network: Network, validation: LabelledDataset, subword_ids: Ragged, vocabulary: Vocabulary) -> None:
    """Calibrate an uncalibrated network on a sample of the validation titles, and log the parameters."""
    calibration = calibrate_on(validation, network, subword_ids, torch.from_numpy(vocabulary.log_shares))
    log.info("calibrated: temperature %.3f, share weight %.3f", calibration.temperature, calibration.share_weight)


def calibrate_on(titles: LabelledDataset, network: Network, subword_ids: Ragged, log_shares: Tensor) -> Calibration:
    """Calibrate an uncalibrated network on a sample of `titles`, which it was not trained on.

    log_shares  float32 [categories], the log of each category's share of the training titles
    """
    sample = _sample(titles)
    logits = torch.cat(list(predict(network, sample.titles, subword_ids)))
    calibration = fit_calibration(logits, torch.from_numpy(sample.labels).long(), log_shares)
    network.temperature.fill_(calibration.temperature)
    network.calibration_bias.copy_(calibration.share_weight * log_shares)
    return calibration


def fit_thresholds(
    network: Network, validation: LabelledDataset, subword_ids: Ragged, vocabulary: Vocabulary, objective: str
) -> list[Threshold]:
    """Select the score thresholds of a calibrated network on a sample of the validation titles."""
    titles = _sample(validation)
    probabilities = torch.cat(list(predict(network, titles.titles, subword_ids))).softmax(1).numpy()
    predicted = (probabilities * decision_weights(vocabulary, objective)).argmax(1)
    return select_thresholds(predicted == titles.labels, probabilities[np.arange(len(predicted)), predicted])


def _sample(titles: LabelledDataset) -> LabelledDataset:
    """The first titles, which are a random sample."""
    return titles.take(np.arange(min(len(titles), SAMPLE_TITLES)))
