"""CUDA graphs: what a GPU has done with arrays of the same shapes before, it is asked for at once.

A step is many small operations, and to ask for each takes a processor longer than the GPU takes to do it.
"""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from titles.data.batch import tree_map


class CUDAGraphRunner:
    """A function of batches on a GPU, captured as a CUDA graph when the same shapes come for the second time.

    The first time everything is made that lasts. What the function reads but is not given must stay where it is.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self.function = function
        self.seen_shapes: set[tuple[Any, ...]] = set()
        self.graphs: dict[tuple[Any, ...], tuple[torch.cuda.CUDAGraph, list[Tensor], Tensor]] = {}
        self.pool: Any = None

    def __call__(self, *args: Any) -> Tensor:
        """What the function gives, which the next call overwrites."""
        arrays: list[Tensor] = []
        shapes = _shapes(args, arrays)
        if shapes not in self.seen_shapes:
            self.seen_shapes.add(shapes)
            return self.function(*args)
        if shapes not in self.graphs:
            self.graphs[shapes] = self._capture(args)
        graph, inputs, result = self.graphs[shapes]
        torch._foreach_copy_(inputs, arrays)
        graph.replay()
        return result

    def _capture(self, args: tuple[Any, ...]) -> tuple[torch.cuda.CUDAGraph, list[Tensor], Tensor]:
        inputs: list[Tensor] = []
        copied = tree_map(torch.clone, args)
        _shapes(copied, inputs)
        graph = torch.cuda.CUDAGraph()
        # Another thread may stream titles meanwhile.
        with torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local"):
            result = self.function(*copied)
        self.pool = graph.pool()
        return graph, inputs, result


def _shapes(tree: Any, arrays: list[Tensor]) -> Any:
    """The shapes of all arrays, which are added to `arrays`, and all else as it is."""
    if isinstance(tree, Tensor):
        arrays.append(tree)
        return tree.shape
    if isinstance(tree, tuple):
        return tuple(_shapes(one, arrays) for one in tree)
    if is_dataclass(tree):
        return tuple(_shapes(getattr(tree, field.name), arrays) for field in fields(tree))
    return tree
