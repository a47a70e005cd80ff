import numpy as np
import pyarrow as pa
import pytest

from titles.inference.top_k import allocate_top_k, fill_top_k, no_category_reason, prediction_columns

CATEGORIES = np.array(["a", "b", "c"])
EVEN = np.ones(3, np.float32)
SAID = np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]], np.float32)


@pytest.mark.parametrize("rows", [slice(1, 3), np.array([2, 0])])
def test_the_best_of_each_row_are_put_where_it_belongs_the_best_first_and_of_equals_the_first(rows):
    labels, scores = found = allocate_top_k(3, 2, CATEGORIES)
    given = SAID.copy()
    fill_top_k(found, rows, given, EVEN)
    assert labels[rows].tolist() == [[1, 2], [0, 2]]
    np.testing.assert_array_equal(scores[rows], np.take_along_axis(SAID, labels[rows], 1))
    assert np.array_equal(given, SAID)


@pytest.mark.parametrize("top", [1, 2, 3])
def test_the_best_are_those_a_sort_finds(top):
    said = np.random.default_rng(0).random((50, 3)).astype(np.float32)
    labels, scores = found = allocate_top_k(50, top, CATEGORIES)
    fill_top_k(found, slice(0, 50), said, EVEN)
    assert np.array_equal(labels, np.argsort(-said, axis=1)[:, :top])
    assert np.array_equal(scores, -np.sort(-said, axis=1)[:, :top])


def test_weights_decide_what_is_best_and_scores_stay_probabilities():
    labels, scores = found = allocate_top_k(2, 2, CATEGORIES)
    fill_top_k(found, slice(0, 2), SAID, np.array([1, 0.5, 1], np.float32))
    assert labels.tolist() == [[2, 1], [0, 2]]
    np.testing.assert_array_equal(scores, np.array([[0.3, 0.5], [0.4, 0.4]], np.float32))


def test_there_is_room_for_no_more_categories_than_there_are():
    assert [array.shape for array in allocate_top_k(5, 7, CATEGORIES)] == [(5, 3), (5, 3)]


def test_a_title_has_a_row_for_each_of_its_categories():
    best = np.array([[1, 2], [0, 2]]), np.array([[0.5, 0.25], [0.5, 0.5]], np.float32)
    rows, answers = prediction_columns(pa.array(["x", "y"]), CATEGORIES, best)
    assert rows.tolist() == [0, 0, 1, 1]
    assert answers["category"].to_pylist() == ["b", "c", "a", "c"]
    assert answers["score"].to_pylist() == [0.5, 0.25, 0.5, 0.5]
    assert answers["reason"].null_count == 4


def test_a_title_without_a_category_has_one_row_and_a_reason():
    nothing, titles = np.float32(np.nan), pa.array([None, "電話", "mesa", "silla"])
    best = np.zeros((4, 2), np.int64), np.array([[nothing] * 2, [nothing] * 2, [0.5, 0.25], [0.25, 0]], np.float32)
    rows, answers = prediction_columns(titles, CATEGORIES, best, min_score=0.5)
    assert rows.tolist() == [0, 1, 2, 3]
    assert answers["category"].to_pylist() == [None, None, "a", None]
    assert answers["score"].to_pylist() == [None, None, 0.5, None]
    assert answers["reason"].to_pylist() == ["no title", "no Latin letter or digit", None, "no score of 0.5 or more"]


@pytest.mark.parametrize(
    ("title", "reason"),
    [
        (None, "no title"),
        ("", "no title"),
        (" \t\u3000", "no title"),
        ("電話", "no Latin letter or digit"),
        ("👍🏽", "no Latin letter or digit"),
        ("¡¿...?!", "no Latin letter or digit"),
        ("x", "no known word"),
    ],
)
def test_a_reason_says_what_a_title_lacks(title, reason):
    assert no_category_reason(title) == reason
