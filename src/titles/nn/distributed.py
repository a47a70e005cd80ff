"""Data-parallel training: one process, or those that torchrun started on one host or several.

Every process has a slice of each batch, and gradients and statistics are summed over all. Torch is imported inside
functions, so that `rank` is cheap.
"""

import atexit
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def rank() -> int:
    """The index of this process among all, from 0."""
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """The number of processes."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def init_process_group(device: "torch.device") -> None:
    """Connect the processes until they exit; no operation for a single process or a second call."""
    from torch import distributed

    if world_size() > 1 and not distributed.is_initialized():
        distributed.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
        atexit.register(distributed.destroy_process_group)


def all_reduce(values: "Tensor") -> "Tensor":
    """Replace `values` by their sum over all processes, in place, and return them."""
    if world_size() > 1:
        from torch import distributed

        distributed.all_reduce(values)
    return values


def all_gather(rows: "Tensor") -> list["Tensor"]:
    """The `rows` [rows, …] of every process, in the order of ranks; the number of rows may differ."""
    if world_size() == 1:
        return [rows]
    import torch
    from torch import distributed

    lengths = torch.zeros(world_size(), dtype=torch.int64, device=rows.device)
    lengths[rank()] = len(rows)
    sizes = all_reduce(lengths).tolist()
    # All tensors of a collective must have the same shape.
    padded = rows.new_zeros((max(sizes), *rows.shape[1:]))
    padded[: len(rows)] = rows
    received = [torch.empty_like(padded) for _ in sizes]
    distributed.all_gather(received, padded)
    return [gathered[:size] for gathered, size in zip(received, sizes, strict=True)]
