"""Batches side by side, of which each has one of torch's threads to itself."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch

from titles.ahead import map_ahead

Item = TypeVar("Item")
Made = TypeVar("Made")


def map_threads(function: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
    """`map`, on as many threads as torch has, none of which torch shares out any further.

    Much of what is done with a batch is done by one thread whatever torch does with the rest.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield from map_ahead(function, items, threads)
    finally:
        torch.set_num_threads(threads)
