"""Calibration: what turns a network's logits into probabilities that are right as often as they say.

The loss adds the log of each category's share of the training titles to its logit, so the logits alone are as if all
categories were equally frequent. Calibration divides them by a temperature and adds a multiple of the log shares. This
is bias-corrected temperature scaling (Alexandari et al., 2020, Maximum likelihood with bias-corrected calibration is
hard-to-beat at label shift adaptation) with the bias of every category tied to the log of its share. Two numbers can be
fitted to few titles, and a category without validation titles has its bias, too.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

MAX_TEMPERATURE = 8.0
INVERSE_TEMPERATURE_BOUNDS = 1 / MAX_TEMPERATURE, MAX_TEMPERATURE
# Standard deviations of the normal priors around 1 of the inverse temperature and of the multiple of the log shares,
# which matter where there are only a few titles.
PRIOR_STDS = (1.0, 0.5)
MAX_NEWTON_STEPS, MAX_HALVINGS = 30, 12
# Titles whose probabilities are in memory at a time.
CHUNK_SIZE = 2048


@dataclass(frozen=True)
class Calibration:
    """The calibrated probabilities are the softmax of `logits / temperature + share_weight * log_shares`."""

    temperature: float
    share_weight: float


def fit_calibration(logits: Tensor, labels: Tensor, log_shares: Tensor) -> Calibration:
    """Minimise the cross entropy with `labels`, plus the priors.

    Titles whose label has no logit are left out; without any title, temperature and share weight are 1.

    logits        float32 [titles, categories]
    labels        int64 [titles]
    log_shares    float32 [categories], the log of each category's share of the training titles
    """
    trained = labels < logits.shape[1]
    logits, labels, log_shares = logits[trained], labels[trained], log_shares.double()
    # The loss is convex in the inverse temperature and the share weight, so Newton's method with step halving finds its
    # minimum.
    point = torch.ones(2, dtype=torch.float64)
    value, gradient, curvature = _loss_and_derivatives(point, logits, labels, log_shares)
    for _ in range(MAX_NEWTON_STEPS):
        step = _newton_step(point, gradient, curvature)
        for halving in range(MAX_HALVINGS):
            candidate = point - step / 2**halving
            candidate[0].clamp_(*INVERSE_TEMPERATURE_BOUNDS)
            found = _loss_and_derivatives(candidate, logits, labels, log_shares)
            if found[0] < value:
                break
        else:
            break
        improvement = float(value - found[0])
        point, (value, gradient, curvature) = candidate, found
        if improvement < 1e-12 * max(1, len(labels)):
            break
    return Calibration(float(1 / point[0]), float(point[1]))


def _newton_step(point: Tensor, gradient: Tensor, hessian: Tensor) -> Tensor:
    """What to subtract; the share weight alone moves where the inverse temperature would leave its bounds."""
    lowest, highest = INVERSE_TEMPERATURE_BOUNDS
    if (point[0] <= lowest and gradient[0] > 0) or (point[0] >= highest and gradient[0] < 0):
        return torch.stack([torch.zeros_like(gradient[1]), gradient[1] / hessian[1, 1]])
    step: Tensor = torch.linalg.solve(hessian, gradient)
    return step


def _loss_and_derivatives(
    point: Tensor, logits: Tensor, labels: Tensor, log_shares: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The sum of the losses and the priors' penalty, its gradient [2] and its second derivatives [2, 2]."""
    deviations = torch.tensor(PRIOR_STDS, dtype=torch.float64)
    value = ((point - 1) / deviations).square().sum() / 2
    gradient, curvature = (point - 1) / deviations**2, torch.diag(deviations**-2)
    for first in range(0, len(labels), CHUNK_SIZE):
        # In float64, so that rounding does not decide where the minimum is.
        of_logits, true = logits[first : first + CHUNK_SIZE].double(), labels[first : first + CHUNK_SIZE, None]
        probabilities = (of_logits * float(point[0]) + log_shares * float(point[1])).log_softmax(1)
        value = value - probabilities.gather(1, true).sum()
        probabilities.exp_()
        # The derivatives of the logits by both numbers, and their means and covariances under the probabilities.
        derivatives = (of_logits, log_shares.expand_as(of_logits))
        means = [(probabilities * one).sum(1, keepdim=True) for one in derivatives]
        centred = [one - mean for one, mean in zip(derivatives, means, strict=True)]
        gradient = gradient - torch.stack([one.gather(1, true).sum() for one in centred])
        products = [(probabilities * one * other).sum() for one in centred for other in centred]
        curvature = curvature + torch.stack(products).view(2, 2)
    return value, gradient, curvature
