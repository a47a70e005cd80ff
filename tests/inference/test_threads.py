import contextlib

import torch

from titles.inference.threads import map_threads, one_thread


def test_map_threads_gives_torch_one_thread_per_item_and_restores_the_number():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert list(map_threads(lambda number: (number, torch.get_num_threads()), range(9))) == [
            (n, 1) for n in range(9)
        ]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_one_thread_restores_the_number_of_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with contextlib.suppress(ZeroDivisionError), one_thread() as threads:
            assert (threads, torch.get_num_threads()) == (3, 1)
            raise ZeroDivisionError
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
