"""Adam for tables of vectors, of which a step touches few rows."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

BETA2 = 0.999
EPS = 1e-8


def sparse_rows(rows: Tensor, values: Tensor, shape: torch.Size) -> Tensor:
    """`values` as the rows, each once and in ascending order, of a sparse tensor.

    Padding comes more than once, after all rows there are, so that nothing but `RowAdam` may read it.
    """
    return torch.sparse_coo_tensor(rows[None], values, shape, is_coalesced=True, check_invariants=False)


class RowwiseAdam(torch.optim.Optimizer):
    """Adam (Kingma and Ba, 2015) for sparse gradients in which every row comes once.

    It keeps one second moment a row and no first. A step costs what the rows in the gradient cost, and the state of a
    table is one number a row where SparseAdam keeps two tables. The mean of a row's squared gradients stands for that
    of each number, as in the row-wise AdaGrad of recommenders (Mudigere et al., 2022).
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float | Tensor) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002 - torch's own signature
        """Moves the rows that have a gradient."""
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is not None:
                    self._step(table, group["lr"])

    def _step(self, table: nn.Parameter, lr: float | Tensor) -> None:
        state = self.state[table]
        if not state:
            # What a GPU does again and again it must count itself. One row more than the table has, for what it lacks.
            state["steps"] = table.new_zeros(()) if table.is_cuda else 0
            state["squares"] = table.new_zeros(len(table) + 1, 1)
        state["steps"] += 1
        # Not coalesced, which would sort and copy what has every row once already.
        (rows,), values = table.grad._indices(), table.grad._values()  # type: ignore[union-attr]
        if table.is_cuda:
            rows = rows.clamp(max=len(table))
        lengths = torch.linalg.vector_norm(values, dim=1, keepdim=True)
        squares = state["squares"][rows].lerp_(lengths.square() / values.shape[1], 1 - BETA2)
        state["squares"][rows] = squares
        unbiased = squares / (1 - BETA2 ** state["steps"])
        moves = values / (unbiased.sqrt() + EPS)
        if table.is_cuda:
            # Padding moves nothing.
            table.index_add_(0, rows.clamp(max=len(table) - 1), moves.mul_(-lr))
        else:
            # Of two ways to add to some rows, the one that torch spreads over its threads.
            table.add_(sparse_rows(rows, moves, table.shape), alpha=-float(lr))
