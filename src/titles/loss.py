"""The loss of linear layers over many categories, and what they learn from it, in one pass over the logits.

Such logits are most of what a step computes, writes and reads. Here they are made, turned into probabilities and into
their own gradient in place, a part of the titles at a time, so that a part stays in the processor's cache; only the
gradient is kept. As in Liger Kernel (Hsu et al., 2024), which does it on GPUs so as to save memory.
"""

from typing import Any

import torch
from torch import Tensor

# Titles whose logits, of 1,588 categories, are about as much as two cores' caches hold.
PART = 256


class _CrossEntropy(torch.autograd.Function):
    """Finds all gradients on the way forward, up to the factor that comes back."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, label_smoothing: float
    ) -> Tensor:
        total = features.new_zeros(())
        size = PART if features.device.type == "cpu" else max(1, len(labels))
        gradients = torch.empty_like(features), torch.empty_like(weight), torch.empty_like(bias)
        logits = features.new_empty(len(labels), weight.shape[2])
        for values, matrix, shift, *of_member in zip(features, weight, bias, *gradients, strict=True):
            for first in range(0, len(labels), size):
                part = slice(first, first + size)
                torch.addmm(shift, values[part], matrix, out=logits[part])
                total += _to_gradient(logits[part], labels[part, None], label_smoothing)
                torch.mm(logits[part], matrix.T, out=of_member[0][part])
            torch.mm(values.T, logits, out=of_member[1])
            torch.sum(logits, 0, keepdim=True, out=of_member[2])
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        return *(gradient * factor for gradient in ctx.saved_tensors), None, None


def _to_gradient(logits: Tensor, labels: Tensor, label_smoothing: float) -> Tensor:
    """The sum of the losses, whose gradient takes the place of the logits."""
    evenly = label_smoothing / logits.shape[1]
    of_label, of_all = logits.gather(1, labels), logits.mean(1, keepdim=True)
    probabilities = torch.softmax(logits, 1, out=logits)
    of_label_probability = probabilities.gather(1, labels)
    # A probability of zero is one too small for a float.
    losses = label_smoothing * (of_label - of_all) - of_label_probability.clamp(min=torch.finfo().tiny).log()
    probabilities.sub_(evenly).scatter_(1, labels, of_label_probability - evenly - (1 - label_smoothing))
    return losses.sum()


def cross_entropy(
    features: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, label_smoothing: float = 0.0
) -> Tensor:
    """The sum of `F.cross_entropy` over all titles and members.

    features     [members, titles, features]
    weight       [members, features, categories]
    bias         [members, 1, categories]
    labels       [titles]
    """
    loss: Tensor = _CrossEntropy.apply(features, weight, bias, labels, label_smoothing)  # type: ignore[no-untyped-call]
    return loss
