import torch

from titles.threads import map_threads


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
