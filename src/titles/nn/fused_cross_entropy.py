"""Cross entropy of linear layers over many categories, fused with its gradients.

The logits are most of what a training step computes and moves in memory. Here they are computed for a chunk of titles
at a time, so that the chunk stays in the cache of the processor, and are replaced in place by probabilities and then by
their own gradient. Only the gradients of the layer are stored. Liger Kernel (Hsu et al., 2024) does the same on GPUs to
save memory.
"""

from typing import Any

import torch
from torch import Tensor

# The logits of so many titles, for 1,588 categories, are about as large as the caches of two cores.
CHUNK_SIZE = 256


class _CrossEntropy(torch.autograd.Function):
    """Compute all gradients in the forward pass; the backward pass multiplies them by the gradient of the loss."""

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
        chunk_size = CHUNK_SIZE if features.device.type == "cpu" else max(1, len(labels))
        gradients = torch.empty_like(features), torch.empty_like(weight), torch.empty_like(bias)
        logits = features.new_empty(len(labels), weight.shape[2])
        # Smoothing adds the same term to the logit gradient of every title. It is subtracted from the matrix products
        # instead, and the expected logit under the target is computed without the logits. This saves two passes.
        target = label_smoothing * smoothing_target
        for x, w, b, grad_x, grad_w, grad_b in zip(features, weight, bias, *gradients, strict=True):
            weighted = w @ target
            expected = torch.addmm(b @ target, x, weighted[:, None])
            grad_b.copy_(target).mul_(-len(labels))
            for first in range(0, len(labels), chunk_size):
                chunk = slice(first, first + chunk_size)
                torch.addmm(b, x[chunk], w, out=logits[chunk])
                total += _replace_logits_by_gradient(
                    logits[chunk], expected[chunk], labels[chunk, None], label_smoothing
                )
                torch.addmm(-weighted, logits[chunk], w.T, out=grad_x[chunk])
                grad_b += logits[chunk].sum(0)
            torch.addmm(torch.outer(x.sum(0), -target), x.T, logits, out=grad_w)
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        return *(gradient * factor for gradient in ctx.saved_tensors), None, None, None


def _replace_logits_by_gradient(logits: Tensor, expected: Tensor, labels: Tensor, label_smoothing: float) -> Tensor:
    """Replace `logits` [titles, categories] by their gradient without the smoothing term; return the summed loss.

    `expected` [titles, 1] is the expected logit under the smoothing target, times `label_smoothing`.
    """
    label_logits = logits.gather(1, labels)
    probs = torch.softmax(logits, 1, out=logits)
    label_probs = probs.gather(1, labels)
    # A probability can underflow to zero.
    losses = label_smoothing * label_logits - expected - label_probs.clamp(min=torch.finfo().tiny).log()
    probs.scatter_(1, labels, label_probs - (1 - label_smoothing))
    return losses.sum()


def cross_entropy(
    features: Tensor,
    weight: Tensor,
    bias: Tensor,
    labels: Tensor,
    label_smoothing: float,
    smoothing_target: Tensor,
) -> Tensor:
    """Cross entropy with label smoothing, summed over titles and members.

    The target of a title is `1 - label_smoothing` times its one-hot label plus `label_smoothing` times
    `smoothing_target`.

    features           [members, titles, features]
    weight             [members, features, categories]
    bias               [members, 1, categories]
    labels             int64 [titles]
    smoothing_target   a distribution over the categories, [categories]
    """
    arguments = features, weight, bias, labels, label_smoothing, smoothing_target
    loss: Tensor = _CrossEntropy.apply(*arguments)  # type: ignore[no-untyped-call]
    return loss
