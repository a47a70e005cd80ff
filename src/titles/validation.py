"""What a network in training is worth, measured by all processes together, and how sure to be of it."""

import numpy as np
import torch
import torch.nn.functional as F

from titles import processes
from titles.batches import Batches
from titles.embedded import Labelled
from titles.metrics import balanced_accuracy
from titles.networks import Network, predict
from titles.progress import Progress
from titles.ragged import Ragged
from titles.temperature import best_temperature
from titles.thresholds import Threshold, thresholds

# Enough for one number; the logits of all would not fit in memory where there are millions.
SAMPLE_TITLES = 20_000
BATCH_SIZE = 1024
# What cross entropy takes for no label.
UNTRAINED = -100


@torch.inference_mode()
def validate(network: Network, validation: Batches, most: int | None = None) -> tuple[float, float, float]:
    """Loss, accuracy, balanced accuracy of all titles, or of the first so many, whose order is random.

    Titles of categories that train lacks have no loss.
    """
    network.eval()
    rows = np.arange(len(validation))[:most]
    own = rows[processes.rank() :: processes.count()]
    groups = [own[first : first + BATCH_SIZE] for first in range(0, len(own), BATCH_SIZE)]
    device = validation.device
    said, losses = [], torch.zeros(2, dtype=torch.float32 if device.type == "mps" else torch.float64, device=device)
    with Progress(len(own), "titles", "validating") as bar:
        for batch, true in validation.of(network, groups):
            logits = network(batch)
            trained = true < logits.shape[1]
            of_titles = F.cross_entropy(logits, torch.where(trained, true, UNTRAINED), reduction="sum")
            losses += torch.stack([of_titles, trained.sum()])
            said.append(logits.argmax(1))
            bar.update(len(logits))
    predicted = torch.zeros(len(rows), dtype=torch.int64, device=device)
    if said:
        predicted[torch.from_numpy(own).to(device)] = torch.cat(said)
    total, count = processes.add_up(losses).tolist()
    found, labels = processes.add_up(predicted).cpu().numpy(), validation.titles.labels[rows]
    accuracy, balanced = float((found == labels).mean()), balanced_accuracy(labels, found)
    return round(total / max(1, count), 6), round(accuracy, 6), round(balanced, 6)


def calibrate(network: Network, validation: Labelled, spelling: Ragged) -> list[Threshold]:
    """Sets the temperature that is best for a sample of the validation titles; returns the thresholds it has by it."""
    first = np.arange(min(len(validation), SAMPLE_TITLES))
    titles = Labelled(validation.titles.take(first), validation.labels[first])
    logits = torch.cat(list(predict(network, titles.titles, spelling)))
    temperature = best_temperature(logits, torch.from_numpy(titles.labels).long())
    network.temperature.fill_(temperature)
    highest, best = logits.div_(temperature).max(1)
    scores = (highest - logits.logsumexp(1)).exp()
    return thresholds(best.numpy() == titles.labels, scores.numpy())
