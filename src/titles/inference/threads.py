"""How many of torch's threads work on a batch: one, beside other batches or where more would wait for one another."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

from titles.core.prefetch import map_prefetched

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`map`, on as many threads as torch has, none of which torch shares out any further.

    Much of what is done with a batch is done by one thread whatever torch does with the rest.
    """
    with one_thread() as threads:
        yield from map_prefetched(function, items, threads)


@contextmanager
def one_thread() -> Iterator[int]:
    """Give torch one thread for what this thread computes in the block; yield how many it had and has again after."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)
