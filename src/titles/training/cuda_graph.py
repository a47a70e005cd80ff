"""CUDA graphs: what a GPU has done with arrays of the same shapes before, it is asked for at once.

A step is many small operations, and to ask for each takes a processor longer than the GPU takes to do it.
"""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from titles.data.batch import mapped


class Captured:
    """A function of batches on a GPU, captured as a CUDA graph when the same shapes come for the second time.

    The first time everything is made that lasts. What the function reads but is not given must stay where it is.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self.function = function
        self.seen: set[tuple[Any, ...]] = set()
        self.graphs: dict[tuple[Any, ...], tuple[torch.cuda.CUDAGraph, list[Tensor], Tensor]] = {}
        self.memory: Any = None

    def __call__(self, *given: Any) -> Tensor:
        """What the function gives, which the next call overwrites."""
        arrays: list[Tensor] = []
        shapes = _shapes(given, arrays)
        if shapes not in self.seen:
            self.seen.add(shapes)
            return self.function(*given)
        if shapes not in self.graphs:
            self.graphs[shapes] = self._capture(given)
        graph, inputs, result = self.graphs[shapes]
        torch._foreach_copy_(inputs, arrays)
        graph.replay()
        return result

    def _capture(self, given: tuple[Any, ...]) -> tuple[torch.cuda.CUDAGraph, list[Tensor], Tensor]:
        inputs: list[Tensor] = []
        copied = mapped(torch.clone, given)
        _shapes(copied, inputs)
        graph = torch.cuda.CUDAGraph()
        # Another thread may stream titles meanwhile.
        with torch.cuda.graph(graph, pool=self.memory, capture_error_mode="thread_local"):
            result = self.function(*copied)
        self.memory = graph.pool()
        return graph, inputs, result


def _shapes(given: Any, arrays: list[Tensor]) -> Any:
    """The shapes of all arrays, which are added to `arrays`, and all else as it is."""
    if isinstance(given, Tensor):
        arrays.append(given)
        return given.shape
    if isinstance(given, tuple):
        return tuple(_shapes(one, arrays) for one in given)
    if is_dataclass(given):
        return tuple(_shapes(getattr(given, field.name), arrays) for field in fields(given))
    return given
