"""Adam for sparse rows, with one second moment per row."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

BETA2 = 0.999
EPS = 1e-8


def sparse_rows(rows: Tensor, values: Tensor, shape: torch.Size) -> Tensor:
    """A sparse tensor of `shape` with `values` [rows, dimension] at `rows`, which are distinct and ascending.

    Padding rows repeat an index after the last row of `shape`. Only `RowwiseAdam` handles them.
    """
    return torch.sparse_coo_tensor(rows[None], values, shape, is_coalesced=True, check_invariants=False)


class RowwiseAdam(torch.optim.Optimizer):
    """Adam (Kingma and Ba, 2015) for sparse gradients with distinct rows.

    It has no first moment, and one second moment per row: the mean of the squared gradient over the row, as in the
    row-wise AdaGrad of recommender systems (Mudigere et al., 2022). The cost of a step is proportional to the rows in
    the gradient. The state is one number per row, where SparseAdam has two tables.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float | Tensor) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002 - torch's own signature
        """Update the rows that have a gradient."""
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is not None:
                    self._step(table, group["lr"])

    def _step(self, table: nn.Parameter, lr: float | Tensor) -> None:
        state = self.state[table]
        if not state:
            # A captured CUDA graph must count its steps on the GPU. The additional row of the squares is for padding.
            state["steps"] = table.new_zeros(()) if table.is_cuda else 0
            state["squares"] = table.new_zeros(len(table) + 1, 1)
        state["steps"] += 1
        # Without coalesce(), which would sort and copy rows that are distinct already.
        (rows,), values = table.grad._indices(), table.grad._values()  # type: ignore[union-attr]
        if table.is_cuda:
            rows = rows.clamp(max=len(table))
        norms = torch.linalg.vector_norm(values, dim=1, keepdim=True)
        squares = state["squares"][rows].lerp_(norms.square() / values.shape[1], 1 - BETA2)
        state["squares"][rows] = squares
        unbiased = squares / (1 - BETA2 ** state["steps"])
        updates = values / (unbiased.sqrt() + EPS)
        if table.is_cuda:
            # The update of padding is zero.
            table.index_add_(0, rows.clamp(max=len(table) - 1), updates.mul_(-lr))
        else:
            # torch adds a sparse tensor with several threads, and index_add_ with one.
            table.add_(sparse_rows(rows, updates, table.shape), alpha=-float(lr))
