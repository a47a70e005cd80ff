import numpy as np
import pytest

from titles.data.npy_writer import NpyWriter


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float32])
@pytest.mark.parametrize("pieces", [[], [[]], [[1]], [[1, 2], [], [3]], [list(range(100_000))] * 3])
def test_appended_pieces_give_the_bytes_of_np_save(tmp_path, dtype, pieces):
    with NpyWriter(tmp_path / "appended.npy", dtype) as file:
        for piece in pieces:
            file.append(np.array(piece, dtype))
    np.save(tmp_path / "saved.npy", np.concatenate([np.empty(0, dtype), *map(np.array, pieces)]).astype(dtype))
    assert (tmp_path / "appended.npy").read_bytes() == (tmp_path / "saved.npy").read_bytes()
