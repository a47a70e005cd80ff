"""CUDA graphs: launch all kernels of a training step at once.

A step is many small operations. Launching them one by one takes the CPU longer than the GPU needs to execute them.
"""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from titles.data.batch import tree_map


class CUDAGraphRunner:
    """A function of GPU tensors that is captured as a CUDA graph, one for each combination of input shapes.

    The first call with given shapes runs the function normally, so that it allocates its persistent state. The second
    call captures the graph, and later calls replay it. Tensors that the function uses without receiving them as
    arguments must not be reallocated.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self.function = function
        self.seen_shapes: set[tuple[Any, ...]] = set()
        self.graphs: dict[tuple[Any, ...], tuple[torch.cuda.CUDAGraph, list[Tensor], Tensor]] = {}
        self.pool: Any = None

    def __call__(self, *args: Any) -> Tensor:
        """Return the function's result, which the next call overwrites."""
        tensors: list[Tensor] = []
        shapes = _shapes(args, tensors)
        if shapes not in self.seen_shapes:
            self.seen_shapes.add(shapes)
            return self.function(*args)
        if shapes not in self.graphs:
            self.graphs[shapes] = self._capture(args)
        graph, inputs, result = self.graphs[shapes]
        torch._foreach_copy_(inputs, tensors)
        graph.replay()
        return result

    def _capture(self, args: tuple[Any, ...]) -> tuple[torch.cuda.CUDAGraph, list[Tensor], Tensor]:
        inputs: list[Tensor] = []
        copied = tree_map(torch.clone, args)
        _shapes(copied, inputs)
        graph = torch.cuda.CUDAGraph()
        # Another thread may stream titles to the GPU during the capture.
        with torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local"):
            result = self.function(*copied)
        self.pool = graph.pool()
        return graph, inputs, result


def _shapes(tree: Any, tensors: list[Tensor]) -> Any:
    """`tree` with each tensor replaced by its shape; the tensors are appended to `tensors`."""
    if isinstance(tree, Tensor):
        tensors.append(tree)
        return tree.shape
    if isinstance(tree, tuple):
        return tuple(_shapes(child, tensors) for child in tree)
    if is_dataclass(tree):
        return tuple(_shapes(getattr(tree, field.name), tensors) for field in fields(tree))
    return tree
