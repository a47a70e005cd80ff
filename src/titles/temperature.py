"""Temperature scaling: the one number that makes a network as sure as it is right.

Guo et al. (2017), On calibration of modern neural networks.
"""

from torch import Tensor

HIGHEST = 8.0
BISECTIONS = 24


def best_temperature(logits: Tensor, labels: Tensor) -> float:
    """What to divide `logits` [titles, categories] by for the least cross entropy with `labels` int64 [titles].

    Between 1/8 and 8. Titles whose label has no logit are left out; of none at all the temperature is 1.
    """
    trained = labels < logits.shape[1]
    logits, labels = logits[trained], labels[trained]
    if not len(labels):
        return 1.0
    right = logits.gather(1, labels[:, None])[:, 0]
    # The loss is convex in the inverse of the temperature, so its slope tells on which side the least loss lies.
    low, high = 1 / HIGHEST, HIGHEST
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        expected = ((logits * middle).softmax(1) * logits).sum(1)
        low, high = (low, middle) if float((expected - right).mean()) > 0 else (middle, high)
    return 2 / (low + high)
