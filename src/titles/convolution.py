"""Filters over the words of many titles that stand in one line, and what they find in each title.

Both are what torch does with slices and embedding bags; its own backward passes take several times as long, as every
slice has a gradient of the whole line, and every number of a maximum an addition of its own.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class _Filtered(torch.autograd.Function):
    """A matrix multiplication for every place in a window, so that no window is written down."""

    @staticmethod
    def forward(ctx: Any, line: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(line, weight)
        width = weight.shape[1] // line.shape[2]
        count = line.shape[1] - (width - 1)
        found = bias.repeat(1, count, 1)
        for place, matrix in enumerate(weight.chunk(width, 1)):
            found.baddbmm_(line[:, place : place + count], matrix)
        return found

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        line, weight = ctx.saved_tensors
        count, width = gradient.shape[1], weight.shape[1] // line.shape[2]
        of_line, of_weight = torch.zeros_like(line), torch.empty_like(weight)
        matrices = zip(weight.chunk(width, 1), of_weight.chunk(width, 1), strict=True)
        for place, (matrix, of_matrix) in enumerate(matrices):
            of_line[:, place : place + count].baddbmm_(gradient, matrix.transpose(1, 2))
            of_matrix.copy_(line[:, place : place + count].transpose(1, 2) @ gradient)
        return of_line, of_weight, gradient.sum(1, keepdim=True)


def filtered(line: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """What each filter finds in each window of the line, [members, windows, filters].

    line      [members, places, inputs]
    weight    [members, width * inputs, filters], the inputs of a window's first place first
    bias      [members, 1, filters]
    """
    found: Tensor = _Filtered.apply(line, weight, bias)  # type: ignore[no-untyped-call]
    return found


class _Pooled(torch.autograd.Function):
    """Remembers where each maximum stood."""

    @staticmethod
    def forward(ctx: Any, found: Tensor, windows: Tensor, offsets: Tensor) -> Tensor:
        highest, *_, places = torch.embedding_bag(found, windows, offsets, mode=2, include_last_offset=True)
        ctx.save_for_backward(windows, offsets, places)
        ctx.shape = found.shape
        return highest.add_(F.embedding_bag(windows, found, offsets, mode="mean", include_last_offset=True))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        windows, offsets, places = ctx.saved_tensors
        counts = offsets.diff()
        of_mean = gradient / counts.clamp(min=1)[:, None]
        of_found = gradient.new_zeros(ctx.shape)
        of_found[windows] = torch.repeat_interleave(of_mean, counts, dim=0, output_size=len(windows))
        # A title without windows has no maximum that stood anywhere.
        return of_found.scatter_add_(0, places.clamp(min=0), gradient * (counts > 0)[:, None]), None, None


def pooled(found: Tensor, windows: Tensor, offsets: Tensor) -> Tensor:
    """The maximum plus the mean over each title's windows, [titles, filters]; zero for a title without any.

    found               [all windows, filters]
    windows, offsets    those of title i, no window in two titles: `windows[offsets[i]:offsets[i + 1]]`
    """
    pooled: Tensor = _Pooled.apply(found, windows, offsets)  # type: ignore[no-untyped-call]
    return pooled
