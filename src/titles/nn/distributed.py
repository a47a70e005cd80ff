"""The processes of a training: this one alone, or as many as torchrun started, on one host or several.

Each has its part of every batch, and of what all must know, the sum. Nothing here loads torch before it is needed.
"""

import atexit
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def rank() -> int:
    """The number of this process among all, from 0 on."""
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """How many there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def init_process_group(device: "torch.device") -> None:
    """Lets the processes reach each other, from here on to their end."""
    from torch import distributed

    if world_size() > 1 and not distributed.is_initialized():
        distributed.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
        atexit.register(distributed.destroy_process_group)


def all_reduce(values: "Tensor") -> "Tensor":
    """Makes `values` their sum over all processes."""
    if world_size() > 1:
        from torch import distributed

        distributed.all_reduce(values)
    return values


def all_gather(rows: "Tensor") -> list["Tensor"]:
    """The `rows` [any number, …] of every process."""
    if world_size() == 1:
        return [rows]
    import torch
    from torch import distributed

    lengths = torch.zeros(world_size(), dtype=torch.int64, device=rows.device)
    lengths[rank()] = len(rows)
    sizes = all_reduce(lengths).tolist()
    # All must send equally much.
    padded = rows.new_zeros((max(sizes), *rows.shape[1:]))
    padded[: len(rows)] = rows
    received = [torch.empty_like(padded) for _ in sizes]
    distributed.all_gather(received, padded)
    return [part[:size] for part, size in zip(received, sizes, strict=True)]
