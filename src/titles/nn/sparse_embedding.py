"""Embedding lookups, row by row or as sums over bags, with sparse gradients of distinct rows."""

from typing import Any

import torch
from torch import Tensor, nn

from titles.data.batch import AnyBags
from titles.nn import distributed
from titles.nn.hparams import ModelParams
from titles.nn.rowwise_adam import sparse_rows


class _Embedding(torch.autograd.Function):
    """The rows of distinct indices; the gradient is sparse and has the same indices."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, indices: Tensor) -> Tensor:
        ctx.save_for_backward(indices)
        ctx.shape = table.shape
        return table[indices.clamp(max=len(table) - 1)]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (indices,) = ctx.saved_tensors
        return sparse_rows(indices, gradient, ctx.shape), None


class _EmbeddingBag(torch.autograd.Function):
    """The sum of the rows of each bag; the gradient of a row is the sum over the bags that hold it.

    `torch.nn.functional.embedding_bag` copies the gradient for every row of every bag and sums the copies in
    `coalesce`, at several times the cost.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, bags: AnyBags) -> Tensor:
        ctx.bags, ctx.shape = bags, table.shape
        return bags.sums(table)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return sparse_rows(ctx.bags.rows, ctx.bags.sums_by_row(gradient), ctx.shape), None


class SparseEmbedding(nn.Module):
    """A table of vectors, initially zero, with sparse gradients in which every row occurs once."""

    def __init__(self, rows: int, dimension: int, model: ModelParams) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(rows, dimension), requires_grad=model.embeddings == "trained")

    def forward(self, bags: AnyBags) -> Tensor:
        """Sum the rows that each bag holds, [bags, dimension]."""
        sums: Tensor = _EmbeddingBag.apply(self.weight, bags)  # type: ignore[no-untyped-call]
        return sums

    def rows(self, indices: Tensor) -> Tensor:
        """Look up distinct `indices` int64 [rows]; returns [rows, dimension].

        An index after the last row gives the last row. The caller masks it, so that its gradient is zero.
        """
        rows: Tensor = _Embedding.apply(self.weight, indices)  # type: ignore[no-untyped-call]
        return rows


def all_reduce_sparse(gradient: Tensor) -> Tensor:
    """Sum the sparse gradient of a table over all processes; every row occurs once in the result."""
    all_rows = torch.cat(distributed.all_gather(gradient._indices()[0]))
    all_values = torch.cat(distributed.all_gather(gradient._values()))
    rows, inverse = torch.unique(all_rows, return_inverse=True)
    values = all_values.new_zeros(len(rows), all_values.shape[1]).index_add_(0, inverse, all_values)
    return sparse_rows(rows, values, gradient.shape)
