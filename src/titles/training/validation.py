"""What a network in training is worth, measured by all processes together, and how sure to be of it."""

import logging
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from titles.core.progress import Progress
from titles.data.encoded_dataset import LabelledDataset, Vocabulary
from titles.data.ragged import Ragged
from titles.metrics.calibration import fit_calibration
from titles.metrics.classification import balanced_accuracy, smoothed_standard_error
from titles.metrics.thresholds import Threshold, select_thresholds
from titles.nn import distributed
from titles.nn.decision import decision_weights
from titles.nn.hparams import OBJECTIVES
from titles.nn.networks import Network, predict
from titles.training.loader import BatchLoader

log = logging.getLogger(__name__)

# Enough for two numbers; the logits of all would not fit in memory where there are millions.
SAMPLE_TITLES = 20_000
BATCH_SIZE = 1024
# What cross entropy takes for no label.
IGNORE_INDEX = -100


@torch.inference_mode()
def validate(
    network: Network, validation: BatchLoader, log_shares: Tensor, objective: str, max_titles: int | None = None
) -> tuple[float, float, float, float]:
    """Loss, accuracy, balanced accuracy and the standard error of the latter, of all titles or of the first so many.

    The order of the titles is random.

    The network is one in training, not yet calibrated: with `log_shares` [categories] added its logits are those of the
    training titles' own distribution, from which the loss is computed and the category for the objective decided.
    Titles of categories that train lacks have no loss; without others it is NaN.
    """
    network.eval()
    rows = np.arange(len(validation))[:max_titles]
    own = rows[distributed.rank() :: distributed.world_size()]
    groups = [own[first : first + BATCH_SIZE] for first in range(0, len(own), BATCH_SIZE)]
    device = validation.device
    said, losses = [], torch.zeros(2, dtype=torch.float32 if device.type == "mps" else torch.float64, device=device)
    with Progress(len(own), "titles", "validating") as bar:
        for batch, true in validation.iterate(network, groups):
            logits = network(batch) + log_shares
            trained = true < logits.shape[1]
            of_titles = F.cross_entropy(logits, torch.where(trained, true, IGNORE_INDEX), reduction="sum")
            losses += torch.stack([of_titles, trained.sum()])
            said.append((logits - OBJECTIVES[objective] * log_shares).argmax(1))
            bar.update(len(logits))
    predicted = torch.zeros(len(rows), dtype=torch.int64, device=device)
    if said:
        predicted[torch.from_numpy(own).to(device)] = torch.cat(said)
    total, count = distributed.all_reduce(losses).tolist()
    found, labels = distributed.all_reduce(predicted).cpu().numpy(), validation.titles.labels[rows]
    accuracy, balanced = float((found == labels).mean()), balanced_accuracy(labels, found)
    error = smoothed_standard_error(labels, found)
    loss = total / count if count else math.nan
    return round(loss, 6), round(accuracy, 6), round(balanced, 6), round(error, 6)


def calibrate(network: Network, validation: LabelledDataset, subword_ids: Ragged, vocabulary: Vocabulary) -> None:
    """Calibrate the network, which is not calibrated yet, on a sample of the validation titles."""
    titles = _sample(validation)
    logits = torch.cat(list(predict(network, titles.titles, subword_ids)))
    log_shares = torch.from_numpy(vocabulary.log_shares)
    found = fit_calibration(logits, torch.from_numpy(titles.labels).long(), log_shares)
    log.info("calibrated: temperature %.3f, share weight %.3f", found.temperature, found.share_weight)
    network.temperature.fill_(found.temperature)
    network.calibration_bias.copy_(found.share_weight * log_shares)


def fit_thresholds(
    network: Network, validation: LabelledDataset, subword_ids: Ragged, vocabulary: Vocabulary, objective: str
) -> list[Threshold]:
    """The thresholds of the calibrated network's decisions on a sample of the validation titles."""
    titles = _sample(validation)
    probabilities = torch.cat(list(predict(network, titles.titles, subword_ids))).softmax(1).numpy()
    best = (probabilities * decision_weights(vocabulary, objective)).argmax(1)
    return select_thresholds(best == titles.labels, probabilities[np.arange(len(best)), best])


def _sample(titles: LabelledDataset) -> LabelledDataset:
    return titles.take(np.arange(min(len(titles), SAMPLE_TITLES)))
