"""Torch in the child of a process that used torch before it forked.

The threads of OpenMP do not exist in the child, and torch would wait for them forever. With one thread it needs none of
them; the workers of `torch.utils.data.DataLoader` do the same.
"""

import os
from functools import cache, partial

import torch


@cache
def use_one_thread_after_fork() -> None:
    """Set torch to one thread in every child that is forked from now on."""
    os.register_at_fork(after_in_child=partial(torch.set_num_threads, 1))
