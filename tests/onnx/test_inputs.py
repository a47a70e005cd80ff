from itertools import chain

import numpy as np
import pytest

from titles.data.ragged import Ragged
from titles.onnx.inputs import BATCH_SIZE, iter_batches, model_inputs

VOCABULARY = 3


def ragged(rows):
    return Ragged(np.array(list(chain(*rows)), np.int32), np.cumsum([0, *map(len, rows)]))


# Words from 3 on are unknown.
SPELLING = ragged([[], [], [], [8, 9], [7], []])


def listed(titles):
    return {name: array.tolist() for name, array in model_inputs(ragged(titles), SPELLING, VOCABULARY).items()}


def test_unknown_words_are_numbered_from_the_vocabulary_on_and_rows_padded_to_the_longest():
    assert listed([[2, 4, 0], [3], [], [4]]) == {
        "words": [[2, 4, 0], [3, -1, -1], [-1, -1, -1], [4, -1, -1]],
        "subwords": [[8, 9], [7, -1]],
    }


def test_only_the_unknown_words_of_the_batch_are_spelled():
    assert listed([[4]]) == {"words": [[3]], "subwords": [[7]]}
    assert listed([[1]]) == {"words": [[1]], "subwords": []}


def test_a_word_without_subwords_has_a_row_of_its_own():
    assert listed([[5, 4]]) == {"words": [[4, 3]], "subwords": [[7], [-1]]}


@pytest.mark.parametrize("titles", [[[]], [[], []]])
def test_titles_without_words_have_no_columns(titles):
    inputs = model_inputs(ragged(titles), SPELLING, VOCABULARY)
    assert (inputs["words"].shape, inputs["subwords"].shape) == ((len(titles), 0), (0, 0))
    assert inputs["words"].dtype == inputs["subwords"].dtype == np.int64


@pytest.mark.parametrize("number", [0, 1, BATCH_SIZE, 2 * BATCH_SIZE + 3])
def test_batches_have_every_title_once(number):
    rng = np.random.default_rng(0)
    titles = [rng.integers(0, 6, rng.integers(0, 5)).tolist() for _ in range(number)]
    seen = []
    for rows, inputs in iter_batches(ragged(titles), SPELLING, VOCABULARY):
        expected = model_inputs(ragged([titles[row] for row in rows]), SPELLING, VOCABULARY)
        assert all(np.array_equal(inputs[name], array) for name, array in expected.items())
        assert len(rows) <= BATCH_SIZE
        seen += rows.tolist()
    assert sorted(seen) == list(range(number))


def test_titles_that_need_little_padding_come_together():
    titles = [[0] * length for length in (1, 4) * BATCH_SIZE]
    assert [inputs["words"].shape[1] for _, inputs in iter_batches(ragged(titles), SPELLING, VOCABULARY)] == [1, 4]
