"""Convolution filters over the words of titles, pooling over the windows of a title, and sums of word vectors.

The product of a filter and a word at one position of a window does not depend on the other words. It is computed once
for every distinct word of a batch, and a window sums the products of its words.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from titles.data.batch import AnyWindows


class _TextConv(torch.autograd.Function):
    """See `text_conv`."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, weight: Tensor, bias: Tensor, windows: AnyWindows) -> Tensor:
        ctx.save_for_backward(vectors, weight)
        ctx.windows = windows
        (members, _, filters), (num_words, kernel_size) = weight.shape, (len(vectors), windows.words.shape[1])
        # Two additional words: zeros for an empty position, and the bias, which every window adds at position 0.
        products = vectors.new_empty(num_words + 2, members, kernel_size, filters)
        weights, inputs = _concat_positions(weight, kernel_size), vectors.chunk(members, 1)
        for member_products, member_weight, member_input in zip(products.unbind(1), weights, inputs, strict=True):
            torch.mm(member_input, member_weight, out=member_products[:num_words].flatten(1))
        products[num_words:] = 0
        products[num_words + 1, :, 0] = bias[:, 0]
        words = F.pad(windows.words, (0, 1), value=num_words + 1)
        positions = F.pad(torch.arange(kernel_size, device=words.device), (0, 1))
        member_ids = torch.arange(members, device=words.device)[:, None]
        rows = (words[:, None] * members + member_ids) * kernel_size + positions
        sums = F.embedding_bag(rows.flatten(0, 1), products.flatten(0, 2), mode="sum")
        return sums.view(len(words), members * filters)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (vectors, weight), windows = ctx.saved_tensors, ctx.windows
        (members, _, filters), (num_words, kernel_size) = weight.shape, (len(vectors), windows.words.shape[1])
        grad_products = vectors.new_empty(num_words, members, kernel_size, filters)
        for position in range(kernel_size):
            grad_products[:, :, position] = windows.sums_by_word(gradient, position).view(num_words, members, filters)
        weights, inputs = _concat_positions(weight, kernel_size), vectors.chunk(members, 1)
        grad_weights, grad_vectors = torch.empty_like(weights), torch.empty_like(vectors)
        grad_inputs = grad_vectors.chunk(members, 1)
        for member, member_gradient in enumerate(grad_products.flatten(2).unbind(1)):
            torch.mm(member_gradient, weights[member].T, out=grad_inputs[member])
            torch.mm(inputs[member].T, member_gradient, out=grad_weights[member])
        grad_weight = grad_weights.view(members, -1, kernel_size, filters).transpose(1, 2).reshape(weight.shape)
        return grad_vectors, grad_weight, gradient.sum(0).view(members, 1, filters), None


def _concat_positions(weight: Tensor, kernel_size: int) -> Tensor:
    """Rearrange [members, kernel_size * inputs, filters] to [members, inputs, kernel_size * filters]."""
    members, inputs, filters = weight.shape
    return weight.view(members, kernel_size, inputs // kernel_size, filters).transpose(1, 2).flatten(2)


def text_conv(vectors: Tensor, weight: Tensor, bias: Tensor, windows: AnyWindows) -> Tensor:
    """Apply each filter to each window, [windows, members * filters].

    vectors   [distinct words, members * inputs]
    weight    [members, kernel_size * inputs, filters], the inputs of the first position of a window first
    bias      [members, 1, filters]
    """
    activations: Tensor = _TextConv.apply(vectors, weight, bias, windows)  # type: ignore[no-untyped-call]
    return activations


class _MaxMeanPool(torch.autograd.Function):
    """See `max_mean_pool`.

    The window of each maximum is saved, because the backward pass of torch sums gradients of maxima element by element.
    """

    @staticmethod
    def forward(ctx: Any, activations: Tensor, windows: AnyWindows) -> Tensor:
        rows, offsets = torch.arange(len(activations), device=activations.device), windows.offsets
        maxima, *_, max_windows = torch.embedding_bag(activations, rows, offsets, mode=2, include_last_offset=True)
        ctx.save_for_backward(max_windows[: windows.num_titles])
        ctx.windows, ctx.shape = windows, activations.shape
        mean = F.embedding_bag(rows, activations, offsets, mode="mean", include_last_offset=True)
        return maxima.add_(mean)[: windows.num_titles]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (max_windows,), windows = ctx.saved_tensors, ctx.windows
        if not ctx.shape[0]:
            return gradient.new_zeros(ctx.shape), None
        counts = windows.offsets[: windows.num_titles + 1].diff()[:, None]
        # The last row is for padding windows, which belong to no title.
        grad_mean = gradient.new_zeros(len(gradient) + 1, gradient.shape[1])
        torch.div(gradient, counts.clamp(min=1), out=grad_mean[:-1])
        grad_activations = grad_mean[windows.titles]
        # A title without windows has no maximum.
        return grad_activations.scatter_add_(0, max_windows.clamp(min=0), gradient * (counts > 0)), None


def max_mean_pool(activations: Tensor, windows: AnyWindows) -> Tensor:
    """Pool `activations` [windows, filters] to maximum plus mean over the windows of each title, [titles, filters].

    A title without windows gets zeros.
    """
    pooled: Tensor = _MaxMeanPool.apply(activations, windows)  # type: ignore[no-untyped-call]
    return pooled


class _WordSums(torch.autograd.Function):
    """See `sum_words`."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, windows: AnyWindows) -> Tensor:
        ctx.windows = windows
        sums = F.embedding_bag(
            windows.words[:, 0], F.pad(vectors, (0, 0, 0, 1)), windows.offsets, mode="sum", include_last_offset=True
        )
        return sums[: windows.num_titles]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        windows = ctx.windows
        # The last row is for padding windows, which belong to no title.
        return windows.sums_by_word(F.pad(gradient, (0, 0, 0, 1))[windows.titles], 0), None


def sum_words(vectors: Tensor, windows: AnyWindows) -> Tensor:
    """Sum `vectors` [distinct words, dimension] over the words of each title; `windows` have kernel size 1."""
    sums: Tensor = _WordSums.apply(vectors, windows)  # type: ignore[no-untyped-call]
    return sums
