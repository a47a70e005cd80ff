"""Bias-corrected temperature scaling: turn a network's logits into calibrated probabilities.

The training loss adds the log of each category's share of the training titles to its logit. The logits alone therefore
treat all categories as equally frequent. Calibration divides them by a temperature and adds a multiple of the log
shares. This is the method of Alexandari et al. (2020, Maximum likelihood with bias-corrected calibration is
hard-to-beat at label shift adaptation), with one change: the bias of a category is proportional to the log of its
share. So only two numbers are fitted, few titles are enough, and categories without validation titles have a bias, too.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

MAX_TEMPERATURE = 8.0
INVERSE_TEMPERATURE_BOUNDS = 1 / MAX_TEMPERATURE, MAX_TEMPERATURE
# Standard deviations of the normal priors around 1 of the inverse temperature and the share weight. The priors only
# matter if there are few titles.
PRIOR_STDS = (1.0, 0.5)
MAX_NEWTON_STEPS, MAX_HALVINGS = 30, 12
# The number of titles whose probabilities are in memory at a time.
CHUNK_SIZE = 2048


@dataclass(frozen=True)
class Calibration:
    """The calibrated probabilities are the softmax of `logits / temperature + share_weight * log_shares`."""

    temperature: float
    share_weight: float


def fit_calibration(logits: Tensor, labels: Tensor, log_shares: Tensor) -> Calibration:
    """Fit temperature and share weight: minimise the cross entropy with `labels`, plus the penalty of the priors.

    Titles whose label has no logit are ignored. If no title remains, temperature and share weight are 1.

    logits        float32 [titles, categories]
    labels        int64 [titles]
    log_shares    float32 [categories], the log of each category's share of the training titles
    """
    trained = labels < logits.shape[1]
    logits, labels, log_shares = logits[trained], labels[trained], log_shares.double()
    # The loss is convex in the inverse temperature and the share weight, so Newton's method with step halving finds its
    # minimum.
    point = torch.ones(2, dtype=torch.float64)
    loss, gradient, hessian = _loss_and_derivatives(point, logits, labels, log_shares)
    for _ in range(MAX_NEWTON_STEPS):
        step = _newton_step(point, gradient, hessian)
        for halving in range(MAX_HALVINGS):
            candidate = point - step / 2**halving
            candidate[0].clamp_(*INVERSE_TEMPERATURE_BOUNDS)
            derivatives = _loss_and_derivatives(candidate, logits, labels, log_shares)
            if derivatives[0] < loss:
                break
        else:
            break
        improvement = float(loss - derivatives[0])
        point, (loss, gradient, hessian) = candidate, derivatives
        if improvement < 1e-12 * max(1, len(labels)):
            break
    return Calibration(float(1 / point[0]), float(point[1]))


def _newton_step(point: Tensor, gradient: Tensor, hessian: Tensor) -> Tensor:
    """Return the step to subtract from `point`. It is 0 for an inverse temperature that would leave its bounds."""
    lowest, highest = INVERSE_TEMPERATURE_BOUNDS
    if (point[0] <= lowest and gradient[0] > 0) or (point[0] >= highest and gradient[0] < 0):
        return torch.stack([torch.zeros_like(gradient[1]), gradient[1] / hessian[1, 1]])
    step: Tensor = torch.linalg.solve(hessian, gradient)
    return step


def _loss_and_derivatives(
    point: Tensor, logits: Tensor, labels: Tensor, log_shares: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the loss summed over titles plus the penalty of the priors, its gradient [2] and its Hessian [2, 2]."""
    stds = torch.tensor(PRIOR_STDS, dtype=torch.float64)
    loss = ((point - 1) / stds).square().sum() / 2
    gradient, hessian = (point - 1) / stds**2, torch.diag(stds**-2)
    for start in range(0, len(labels), CHUNK_SIZE):
        # float64, so that rounding does not shift the minimum.
        chunk, targets = logits[start : start + CHUNK_SIZE].double(), labels[start : start + CHUNK_SIZE, None]
        probs = (chunk * float(point[0]) + log_shares * float(point[1])).log_softmax(1)
        loss = loss - probs.gather(1, targets).sum()
        probs.exp_()
        # The derivatives of the calibrated logits by both numbers, and their means and covariances under `probs`.
        derivatives = (chunk, log_shares.expand_as(chunk))
        means = [(probs * one).sum(1, keepdim=True) for one in derivatives]
        centred = [one - mean for one, mean in zip(derivatives, means, strict=True)]
        gradient = gradient - torch.stack([one.gather(1, targets).sum() for one in centred])
        products = [(probs * one * other).sum() for one in centred for other in centred]
        hessian = hessian + torch.stack(products).view(2, 2)
    return loss, gradient, hessian
