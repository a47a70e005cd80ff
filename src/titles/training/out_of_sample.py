"""Out-of-sample predictions: what a network predicts for titles that it was not trained on, equal in all processes."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from titles.data.encoded_dataset import LabelledDataset
from titles.data.ragged import Ragged
from titles.nn import distributed
from titles.nn.networks import Network, predict
from titles.training.suspect_labels import LabelProbabilities


def label_probabilities(network: Network, titles: LabelledDataset, subword_ids: Ragged) -> LabelProbabilities:
    """Predict the probability of each title's label and of the most probable other category.

    A label that train lacks gets the values of `LabelProbabilities.empty`, so it is never suspect.
    """
    found, first = LabelProbabilities.empty(len(titles)), 0
    for logits in predict(network, titles.titles, subword_ids):
        labels = titles.labels[first : first + len(logits)]
        # Small probabilities underflow to zero, by which the odds would be divided.
        probs = logits.softmax(1).clamp_(min=torch.finfo().tiny).numpy()
        trained = np.flatnonzero(labels < probs.shape[1])
        rows, trained_labels = first + trained, labels[trained]
        found.label_probs[rows] = probs[trained, trained_labels]
        probs[trained, trained_labels] = 0
        found.other_category[rows] = probs[trained].argmax(1)
        found.other_probs[rows] = probs[trained].max(1)
        first += len(logits)
    return LabelProbabilities(*map(_broadcast, (found.label_probs, found.other_category, found.other_probs)))


def correct_predictions(network: Network, titles: LabelledDataset, subword_ids: Ragged) -> NDArray[np.bool_]:
    """Whether the network predicts the label of each title, [titles]."""
    predicted = [logits.numpy().argmax(1) for logits in predict(network, titles.titles, subword_ids)]
    return _broadcast(np.concatenate(predicted) == titles.labels)


def _broadcast(values: NDArray[Any]) -> NDArray[Any]:
    """The values of rank 0, the only process with the weights of the best epoch."""
    if distributed.world_size() > 1:
        values = values if distributed.rank() == 0 else np.zeros_like(values)
        return distributed.all_reduce(torch.from_numpy(values.astype(np.float32))).numpy().astype(values.dtype)
    return values
