from itertools import chain, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from titles.data.ragged import Ragged, RaggedWriter

ROWS = st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=4), min_size=1, max_size=6)


def ragged(rows):
    return Ragged(np.array(list(chain(*rows)), np.int32), np.cumsum([0, *map(len, rows)]))


def lists(rows):
    return [rows.values[first:last].tolist() for first, last in pairwise(rows.offsets)]


@settings(deadline=None)
@given(ROWS, st.data())
def test_take_selects_rows_as_in_a_list_of_lists(rows, data):
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=8))
    taken = ragged(rows).take(np.array(chosen, np.int64))
    assert lists(taken) == [rows[row] for row in chosen]
    assert (taken.values.dtype, taken.offsets.dtype) == (np.int32, np.int64)


@pytest.mark.parametrize("rows", [[[1, 2], [], [3]], [[], []], []])
def test_loaded_rows_equal_the_saved_rows(tmp_path, rows):
    ragged(rows).save(tmp_path, "titles")
    loaded = Ragged.load(tmp_path, "titles")
    assert (len(loaded), lists(loaded)) == (len(rows), rows)
    assert (loaded.values.dtype, loaded.offsets.dtype) == (np.int32, np.int64)


def test_loaded_rows_are_memory_maps(tmp_path):
    ragged([[1], [2, 3]]).save(tmp_path, "titles")
    loaded = Ragged.load(tmp_path, "titles")
    assert isinstance(loaded.values, np.memmap) and isinstance(loaded.offsets, np.memmap)
    assert lists(loaded.take(np.array([1, 0]))) == [[2, 3], [1]]


def test_rows_are_appended_in_order(tmp_path):
    with RaggedWriter(tmp_path, "titles") as files:
        for rows in ([[7], [8, 9]], [[]], [[], [1]]):
            files.append(ragged(rows))
    assert lists(Ragged.load(tmp_path, "titles")) == [[7], [8, 9], [], [], [1]]


@settings(deadline=None)
@given(ROWS, st.data())
def test_slice_equals_the_slice_of_a_list(rows, data):
    first = data.draw(st.integers(0, len(rows)))
    last = data.draw(st.integers(first, len(rows)))
    assert lists(ragged(rows).slice(first, last)) == rows[first:last]
