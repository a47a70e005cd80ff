import numpy as np
import pytest

from titles.best_categories import put, room, table_of, texts_of

CATEGORIES = np.array(["a", "b", "c"])
EVEN = np.ones(3, np.float32)
SAID = np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]], np.float32)


@pytest.mark.parametrize("rows", [slice(1, 3), np.array([2, 0])])
def test_the_best_of_each_row_are_put_where_it_belongs_the_best_first_and_of_equals_the_first(rows):
    labels, scores = found = room(3, 2, CATEGORIES)
    given = SAID.copy()
    put(found, rows, given, EVEN)
    assert labels[rows].tolist() == [[1, 2], [0, 2]]
    np.testing.assert_array_equal(scores[rows], np.take_along_axis(SAID, labels[rows], 1))
    assert np.array_equal(given, SAID)


@pytest.mark.parametrize("top", [1, 2, 3])
def test_the_best_are_those_a_sort_finds(top):
    said = np.random.default_rng(0).random((50, 3)).astype(np.float32)
    labels, scores = found = room(50, top, CATEGORIES)
    put(found, slice(0, 50), said, EVEN)
    assert np.array_equal(labels, np.argsort(-said, axis=1)[:, :top])
    assert np.array_equal(scores, -np.sort(-said, axis=1)[:, :top])


def test_weights_decide_what_is_best_and_scores_stay_probabilities():
    labels, scores = found = room(2, 2, CATEGORIES)
    put(found, slice(0, 2), SAID, np.array([1, 0.5, 1], np.float32))
    assert labels.tolist() == [[2, 1], [0, 2]]
    np.testing.assert_array_equal(scores, np.array([[0.3, 0.5], [0.4, 0.4]], np.float32))


def test_there_is_room_for_no_more_categories_than_there_are():
    assert [array.shape for array in room(5, 7, CATEGORIES)] == [(5, 3), (5, 3)]


def test_a_table_has_a_row_for_each_category_of_a_title():
    found = room(2, 2, CATEGORIES)
    put(found, slice(0, 2), SAID, EVEN)
    assert table_of(texts_of(["x", "y"]), CATEGORIES, found).round(3).values.tolist() == [
        ["x", "b", pytest.approx(0.5)],
        ["x", "c", pytest.approx(0.3)],
        ["y", "a", pytest.approx(0.4)],
        ["y", "c", pytest.approx(0.4)],
    ]


def test_half_a_surrogate_pair_becomes_a_question_mark():
    assert texts_of(["a\ud800", "é"]).to_pylist() == ["a?", "é"]


def test_a_single_title_is_no_list_of_titles():
    with pytest.raises(TypeError, match=r"a list of texts, not one: \['mesa'\]"):
        texts_of("mesa")
