"""Filters over the words of many titles, and what they find in each title.

What a filter makes of a word at some place of its window does not depend on the words around it. So it is calculated
once for every distinct word of a batch, of which there are far fewer than words, and a window adds up what is its own.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from titles.data.batch import AnyWindows


class _TextConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor, weight: Tensor, bias: Tensor, windows: AnyWindows) -> Tensor:
        ctx.save_for_backward(vectors, weight)
        ctx.windows = windows
        (members, _, filters), (count, width) = weight.shape, (len(vectors), windows.words.shape[1])
        # Of every word what it adds at each place; as if of two words more, nothing, and at the first place the bias.
        added = vectors.new_empty(count + 2, members, width, filters)
        matrices, values = _concat_positions(weight, width), vectors.chunk(members, 1)
        for of_member, matrix, own in zip(added.unbind(1), matrices, values, strict=True):
            torch.mm(own, matrix, out=of_member[:count].flatten(1))
        added[count:] = 0
        added[count + 1, :, 0] = bias[:, 0]
        words = F.pad(windows.words, (0, 1), value=count + 1)
        places = F.pad(torch.arange(width, device=words.device), (0, 1))
        rows = (words[:, None] * members + torch.arange(members, device=words.device)[:, None]) * width + places
        found = F.embedding_bag(rows.flatten(0, 1), added.flatten(0, 2), mode="sum")
        return found.view(len(words), members * filters)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (vectors, weight), windows = ctx.saved_tensors, ctx.windows
        (members, _, filters), (count, width) = weight.shape, (len(vectors), windows.words.shape[1])
        added = vectors.new_empty(count, members, width, filters)
        for place in range(width):
            added[:, :, place] = windows.sums_by_word(gradient, place).view(count, members, filters)
        matrices, values = _concat_positions(weight, width), vectors.chunk(members, 1)
        of_matrices, of_vectors = torch.empty_like(matrices), torch.empty_like(vectors)
        of_values = of_vectors.chunk(members, 1)
        for member, of_member in enumerate(added.flatten(2).unbind(1)):
            torch.mm(of_member, matrices[member].T, out=of_values[member])
            torch.mm(values[member].T, of_member, out=of_matrices[member])
        of_weight = of_matrices.view(members, -1, width, filters).transpose(1, 2).reshape(weight.shape)
        return of_vectors, of_weight, gradient.sum(0).view(members, 1, filters), None


def _concat_positions(weight: Tensor, width: int) -> Tensor:
    """[members, width * inputs, filters] as [members, inputs, width * filters]"""
    members, inputs, filters = weight.shape
    return weight.view(members, width, inputs // width, filters).transpose(1, 2).flatten(2)


def text_conv(vectors: Tensor, weight: Tensor, bias: Tensor, windows: AnyWindows) -> Tensor:
    """What each filter finds in each window, [windows, members * filters].

    vectors   [distinct words, members * inputs]
    weight    [members, width * inputs, filters], the inputs of a window's first place first
    bias      [members, 1, filters]
    """
    found: Tensor = _TextConv.apply(vectors, weight, bias, windows)  # type: ignore[no-untyped-call]
    return found


class _MaxMeanPool(torch.autograd.Function):
    """Remembers where each maximum stood; torch's own adds up the gradients of maxima number by number."""

    @staticmethod
    def forward(ctx: Any, activations: Tensor, windows: AnyWindows) -> Tensor:
        rows, offsets = torch.arange(len(activations), device=activations.device), windows.offsets
        highest, *_, places = torch.embedding_bag(activations, rows, offsets, mode=2, include_last_offset=True)
        ctx.save_for_backward(places[: windows.num_titles])
        ctx.windows, ctx.shape = windows, activations.shape
        mean = F.embedding_bag(rows, activations, offsets, mode="mean", include_last_offset=True)
        return highest.add_(mean)[: windows.num_titles]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (places,), windows = ctx.saved_tensors, ctx.windows
        if not ctx.shape[0]:
            return gradient.new_zeros(ctx.shape), None
        counts = windows.offsets[: windows.num_titles + 1].diff()[:, None]
        # One more, of no title, for padding.
        of_mean = gradient.new_zeros(len(gradient) + 1, gradient.shape[1])
        torch.div(gradient, counts.clamp(min=1), out=of_mean[:-1])
        of_found = of_mean[windows.titles]
        # A title without windows has no maximum that stood anywhere.
        return of_found.scatter_add_(0, places.clamp(min=0), gradient * (counts > 0)), None


def max_mean_pool(activations: Tensor, windows: AnyWindows) -> Tensor:
    """The maximum plus the mean of what was found, [windows, filters], in each title's windows, [titles, filters].

    Zero for a title without any.
    """
    pooled: Tensor = _MaxMeanPool.apply(activations, windows)  # type: ignore[no-untyped-call]
    return pooled


class _WordSums(torch.autograd.Function):
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
        # One more, of no title, for padding.
        return windows.sums_by_word(F.pad(gradient, (0, 0, 0, 1))[windows.titles], 0), None


def sum_words(vectors: Tensor, windows: AnyWindows) -> Tensor:
    """The sums of the vectors [distinct words, dimension] of each title's words, by its windows of one word."""
    sums: Tensor = _WordSums.apply(vectors, windows)  # type: ignore[no-untyped-call]
    return sums
