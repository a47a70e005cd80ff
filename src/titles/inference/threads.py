"""The number of torch threads per batch: one where batches run in parallel, or where more threads would cost time."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

from titles.core.prefetch import map_prefetched

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Like `map`, in as many threads as torch is set to use; within each, torch uses one thread.

    This is faster than several torch threads per batch, because much of the work on a batch is not torch's.
    """
    with one_thread() as threads:
        yield from map_prefetched(function, items, threads)


@contextmanager
def one_thread() -> Iterator[int]:
    """Set torch to one thread within the block; yield the number of threads, which is restored after the block."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)
