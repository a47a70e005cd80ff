"""Torch in a child that is forked from a process that used it.

The threads of OpenMP do not live on in the child, where torch would wait for them without end. With one thread it needs
none of them; the workers of `torch.utils.data.DataLoader` do the same.
"""

import os
from functools import cache, partial

import torch


@cache
def use_one_thread_after_fork() -> None:
    """Give torch one thread in each child that is forked from here on."""
    os.register_at_fork(after_in_child=partial(torch.set_num_threads, 1))
