"""Adam for tables of vectors, of which a step touches few rows."""

from collections.abc import Iterable

import torch
from torch import nn

DECAY = 0.999
EPSILON = 1e-8


class RowAdam(torch.optim.Optimizer):
    """Adam (Kingma and Ba, 2015) for sparse gradients, with one second moment a row and no first.

    A step costs what the rows in the gradient cost, and the state of a table is one number a row where SparseAdam
    keeps two tables. The mean of a row's squared gradients stands for that of each number, as in the row-wise AdaGrad
    of recommenders (Mudigere et al., 2022).
    """

    def __init__(self, tables: Iterable[nn.Parameter], lr: float) -> None:
        super().__init__(tables, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002 - torch's own signature
        """Moves the rows that have a gradient."""
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is not None:
                    self._step(table, group["lr"])

    def _step(self, table: nn.Parameter, lr: float) -> None:
        state = self.state[table]
        if not state:
            state["steps"], state["squares"] = 0, torch.zeros(len(table), 1)
        state["steps"] += 1
        gradient = table.grad.coalesce()  # type: ignore[union-attr]
        (rows,), values = gradient.indices(), gradient.values()
        squares = state["squares"][rows].lerp_(values.square().mean(1, keepdim=True), 1 - DECAY)
        state["squares"][rows] = squares
        unbiased = squares / (1 - DECAY ** state["steps"])
        table.index_add_(0, rows, values / (unbiased.sqrt() + EPSILON), alpha=-lr)
