"""Rows of tables by their numbers, one by one or summed, and gradients that know which rows they are of."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from titles import processes
from titles.batch import Batch
from titles.hyperparameters import ModelParams
from titles.optimizer import sparse_rows


def _gradient_of_rows(gradient: Tensor, offsets: Tensor, order: Tensor, starts: Tensor) -> Tensor:
    """For each row the sum of the gradients of the bags it is in, [rows, dimension].

    offsets          of the bags: where the numbers of each begin
    order, starts    of the rows: where among all these numbers each is
    """
    bags = torch.repeat_interleave(torch.arange(len(offsets) - 1, device=offsets.device), offsets.diff())
    return F.embedding_bag(bags[order], gradient, starts, mode="sum", include_last_offset=True)


class _Rows(torch.autograd.Function):
    """Rows that are looked up once each."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, numbers: Tensor) -> Tensor:
        ctx.save_for_backward(numbers)
        ctx.shape = table.shape
        return table[numbers]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (numbers,) = ctx.saved_tensors
        return sparse_rows(numbers, gradient, ctx.shape), None


class _Sums(torch.autograd.Function):
    """The sum of the rows of each bag, as `F.embedding_bag` of mode sum, whose backward pass is here one as well.

    Torch's own leaves the sum of a row's gradients to `coalesce`, at several times the cost, of a copy of the gradient
    for every row of every bag.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, numbers: Tensor, offsets: Tensor) -> Tensor:
        ctx.save_for_backward(numbers, offsets)
        ctx.shape = table.shape
        return F.embedding_bag(numbers, table, offsets, mode="sum", include_last_offset=True)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        numbers, offsets = ctx.saved_tensors
        rows, places = torch.unique(numbers, return_inverse=True)
        starts = F.pad(torch.bincount(places, minlength=len(rows)).cumsum(0), (1, 0))
        values = _gradient_of_rows(gradient, offsets, places.argsort(stable=True), starts)
        return sparse_rows(rows, values, ctx.shape), None, None


class _WordSums(torch.autograd.Function):
    """`_Sums` of the distinct words of a batch, whose order is known already."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, places: Tensor, offsets: Tensor, order: Tensor, starts: Tensor) -> Tensor:
        ctx.save_for_backward(offsets, order, starts)
        return F.embedding_bag(places, vectors, offsets, mode="sum", include_last_offset=True)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return _gradient_of_rows(gradient, *ctx.saved_tensors), None, None, None, None


def sum_words(vectors: Tensor, batch: Batch, offsets: Tensor) -> Tensor:
    """The sums of the vectors of the batch's words from `offsets[i]` to `offsets[i + 1]`, [bags, dimension]."""
    sums: Tensor = _WordSums.apply(vectors, batch.places, offsets, batch.order, batch.starts)  # type: ignore[no-untyped-call]
    return sums


class Table(nn.Module):
    """Vectors by number, of which a batch looks up few: their gradient is sparse, with every row once."""

    def __init__(self, rows: int, dimension: int, model: ModelParams) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(rows, dimension), requires_grad=model.embeddings == "trained")

    def forward(self, numbers: Tensor, offsets: Tensor) -> Tensor:
        """The sums of the rows `numbers[offsets[i]:offsets[i + 1]]`, [bags, dimension]."""
        sums: Tensor = _Sums.apply(self.weight, numbers, offsets)  # type: ignore[no-untyped-call]
        return sums

    def rows(self, numbers: Tensor) -> Tensor:
        """The rows, which must differ, [numbers, dimension]."""
        rows: Tensor = _Rows.apply(self.weight, numbers)  # type: ignore[no-untyped-call]
        return rows


def add_up_rows(gradient: Tensor) -> Tensor:
    """The sum over all processes of the gradients of a table, with every row once."""
    all_rows = torch.cat(processes.gather(gradient._indices()[0]))
    all_values = torch.cat(processes.gather(gradient._values()))
    rows, places = torch.unique(all_rows, return_inverse=True)
    values = all_values.new_zeros(len(rows), all_values.shape[1]).index_add_(0, places, all_values)
    return sparse_rows(rows, values, gradient.shape)
