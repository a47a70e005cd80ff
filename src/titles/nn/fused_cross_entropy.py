"""The loss of linear layers over many categories, and what they learn from it, in one pass over the logits.

Such logits are most of what a step computes, writes and reads. Here they are made, turned into probabilities and into
their own gradient in place, a part of the titles at a time, so that a part stays in the processor's cache; only the
gradient is kept. As in Liger Kernel (Hsu et al., 2024), which does it on GPUs so as to save memory.
"""

from typing import Any

import torch
from torch import Tensor

# Titles whose logits, of 1,588 categories, are about as much as two cores' caches hold.
CHUNK_SIZE = 256


class _CrossEntropy(torch.autograd.Function):
    """Finds all gradients on the way forward, up to the factor that comes back."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        bias: Tensor,
        labels: Tensor,
        label_smoothing: float,
        smoothing_target: Tensor,
    ) -> Tensor:
        total = features.new_zeros(())
        size = CHUNK_SIZE if features.device.type == "cpu" else max(1, len(labels))
        gradients = torch.empty_like(features), torch.empty_like(weight), torch.empty_like(bias)
        logits = features.new_empty(len(labels), weight.shape[2])
        # The part of a logit's gradient that smoothing adds is the same for all titles. It is subtracted from the
        # products instead, and the expected logit under the target is found without the logits: two passes less.
        target = label_smoothing * smoothing_target
        for values, matrix, shift, of_values, of_matrix, of_shift in zip(
            features, weight, bias, *gradients, strict=True
        ):
            weighted = matrix @ target
            expected = torch.addmm(shift @ target, values, weighted[:, None])
            of_shift.copy_(target).mul_(-len(labels))
            for first in range(0, len(labels), size):
                part = slice(first, first + size)
                torch.addmm(shift, values[part], matrix, out=logits[part])
                total += _replace_logits_by_gradient(logits[part], expected[part], labels[part, None], label_smoothing)
                torch.addmm(-weighted, logits[part], matrix.T, out=of_values[part])
                of_shift += logits[part].sum(0)
            torch.addmm(torch.outer(values.sum(0), -target), values.T, logits, out=of_matrix)
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        return *(gradient * factor for gradient in ctx.saved_tensors), None, None, None


def _replace_logits_by_gradient(logits: Tensor, expected: Tensor, labels: Tensor, label_smoothing: float) -> Tensor:
    """The sum of the losses, whose gradient takes the place of the logits, but for what smoothing takes from each.

    `expected` [titles, 1] is the expected logit under the smoothing target, times `label_smoothing`.
    """
    of_label = logits.gather(1, labels)
    probabilities = torch.softmax(logits, 1, out=logits)
    of_label_probability = probabilities.gather(1, labels)
    # A probability of zero is one too small for a float.
    losses = label_smoothing * of_label - expected - of_label_probability.clamp(min=torch.finfo().tiny).log()
    probabilities.scatter_(1, labels, of_label_probability - (1 - label_smoothing))
    return losses.sum()


def cross_entropy(
    features: Tensor,
    weight: Tensor,
    bias: Tensor,
    labels: Tensor,
    label_smoothing: float,
    smoothing_target: Tensor,
) -> Tensor:
    """The sum over all titles and members of the cross entropy with smoothed labels.

    The target of a title is `1 - label_smoothing` times its label plus `label_smoothing` times `smoothing_target`.

    features            [members, titles, features]
    weight              [members, features, categories]
    bias                [members, 1, categories]
    labels              int64 [titles]
    smoothing_target    a distribution over the categories, [categories]
    """
    arguments = features, weight, bias, labels, label_smoothing, smoothing_target
    loss: Tensor = _CrossEntropy.apply(*arguments)  # type: ignore[no-untyped-call]
    return loss
