import contextlib

import torch

from titles.inference.threads import map_threads, one_thread


def test_each_batch_has_one_thread_of_torch_and_afterwards_all_is_as_before():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert list(map_threads(lambda number: (number, torch.get_num_threads()), range(9))) == [
            (n, 1) for n in range(9)
        ]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_torch_has_one_thread_in_the_block_and_as_many_as_before_after_it():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with contextlib.suppress(ZeroDivisionError), one_thread() as threads:
            assert (threads, torch.get_num_threads()) == (3, 1)
            raise ZeroDivisionError
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
