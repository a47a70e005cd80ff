from itertools import chain

import numpy as np
import pytest

from titles.data.ragged import Ragged
from titles.onnx.inputs import BATCH_SIZE, iter_batches, model_inputs

VOCABULARY = 3


def ragged(rows):
    return Ragged(np.array(list(chain(*rows)), np.int32), np.cumsum([0, *map(len, rows)]))


# Word ids from 3 on are out of the vocabulary.
SUBWORD_IDS = ragged([[], [], [], [8, 9], [7], []])


def input_lists(titles):
    return {name: array.tolist() for name, array in model_inputs(ragged(titles), SUBWORD_IDS, VOCABULARY).items()}


def test_ids_of_unknown_words_start_at_the_vocabulary_size_and_rows_are_padded_to_the_longest():
    assert input_lists([[2, 4, 0], [3], [], [4]]) == {
        "words": [[2, 4, 0], [3, -1, -1], [-1, -1, -1], [4, -1, -1]],
        "subwords": [[8, 9], [7, -1]],
    }


def test_subwords_has_only_the_unknown_words_of_the_batch():
    assert input_lists([[4]]) == {"words": [[3]], "subwords": [[7]]}
    assert input_lists([[1]]) == {"words": [[1]], "subwords": []}


def test_a_word_without_subwords_has_a_row_of_its_own():
    assert input_lists([[5, 4]]) == {"words": [[4, 3]], "subwords": [[7], [-1]]}


@pytest.mark.parametrize("titles", [[[]], [[], []]])
def test_titles_without_words_have_no_columns(titles):
    inputs = model_inputs(ragged(titles), SUBWORD_IDS, VOCABULARY)
    assert (inputs["words"].shape, inputs["subwords"].shape) == ((len(titles), 0), (0, 0))
    assert inputs["words"].dtype == inputs["subwords"].dtype == np.int64


@pytest.mark.parametrize("number", [0, 1, BATCH_SIZE, 2 * BATCH_SIZE + 3])
def test_batches_have_every_title_once(number):
    rng = np.random.default_rng(0)
    titles = [rng.integers(0, 6, rng.integers(0, 5)).tolist() for _ in range(number)]
    seen = []
    for rows, inputs in iter_batches(ragged(titles), SUBWORD_IDS, VOCABULARY):
        expected = model_inputs(ragged([titles[row] for row in rows]), SUBWORD_IDS, VOCABULARY)
        assert all(np.array_equal(inputs[name], array) for name, array in expected.items())
        assert len(rows) <= BATCH_SIZE
        seen += rows.tolist()
    assert sorted(seen) == list(range(number))


def test_titles_of_similar_length_are_batched_together():
    titles = [[0] * length for length in (1, 4) * BATCH_SIZE]
    assert [inputs["words"].shape[1] for _, inputs in iter_batches(ragged(titles), SUBWORD_IDS, VOCABULARY)] == [1, 4]
