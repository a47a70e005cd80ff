"""What a network in training is worth, measured by all processes together, and how sure to be of it."""

import numpy as np
import torch
import torch.nn.functional as F

from titles import processes
from titles.embedded import Labelled
from titles.metrics import balanced_accuracy
from titles.networks import Network, predict
from titles.progress import Progress
from titles.ragged import Ragged
from titles.temperature import best_temperature
from titles.thresholds import Threshold, thresholds

# Enough for one number; the logits of all would not fit in memory where there are millions.
SAMPLE_TITLES = 20_000


def sample(validation: Labelled) -> Labelled:
    """The first titles, whose order is random."""
    titles = np.arange(min(len(validation), SAMPLE_TITLES))
    return Labelled(validation.titles.take(titles), validation.labels[titles])


def validate(network: Network, validation: Labelled, spelling: Ragged) -> tuple[float, float, float]:
    """Loss, accuracy, balanced accuracy. Titles of categories that train lacks have no loss."""
    rows = np.arange(processes.rank(), len(validation), processes.count())
    labels = torch.from_numpy(np.array(validation.labels)).long()
    own = labels[rows]
    predicted, losses, first = torch.zeros_like(labels), torch.zeros(2, dtype=torch.float64), 0
    with Progress(len(rows), "titles", "validating") as bar:
        for logits in predict(network, validation.titles.take(rows), spelling):
            true = own[first : first + len(logits)]
            trained = true < logits.shape[1]
            losses += torch.stack([F.cross_entropy(logits[trained], true[trained], reduction="sum"), trained.sum()])
            predicted[rows[first : first + len(logits)]] = logits.argmax(1)
            first += len(logits)
            bar.update(len(logits))
    total, count = processes.add_up(losses).tolist()
    found = processes.add_up(predicted)
    accuracy = float((found == labels).double().mean())
    balanced = balanced_accuracy(labels.numpy(), found.numpy())
    return round(total / max(1, count), 6), round(accuracy, 6), round(balanced, 6)


def calibrate(network: Network, validation: Labelled, spelling: Ragged) -> list[Threshold]:
    """Sets the temperature that is best for a sample of the validation titles; returns the thresholds it has by it."""
    titles = sample(validation)
    logits = torch.cat(list(predict(network, titles.titles, spelling)))
    temperature = best_temperature(logits, torch.from_numpy(titles.labels).long())
    network.temperature.fill_(temperature)
    highest, best = logits.div_(temperature).max(1)
    scores = (highest - logits.logsumexp(1)).exp()
    return thresholds(best.numpy() == titles.labels, scores.numpy())
