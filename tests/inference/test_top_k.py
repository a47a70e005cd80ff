import numpy as np
import pyarrow as pa
import pytest

from titles.inference.top_k import allocate_top_k, fill_top_k, no_category_reason, prediction_columns

CATEGORIES = np.array(["a", "b", "c"])
EQUAL_WEIGHTS = np.ones(3, np.float32)
PROBS = np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]], np.float32)


@pytest.mark.parametrize("rows", [slice(1, 3), np.array([2, 0])])
def test_the_top_k_are_written_to_the_given_rows_and_ties_go_to_the_lowest_label(rows):
    labels, scores = out = allocate_top_k(3, 2, CATEGORIES)
    probs = PROBS.copy()
    fill_top_k(out, rows, probs, EQUAL_WEIGHTS)
    assert labels[rows].tolist() == [[1, 2], [0, 2]]
    np.testing.assert_array_equal(scores[rows], np.take_along_axis(PROBS, labels[rows], 1))
    assert np.array_equal(probs, PROBS)


@pytest.mark.parametrize("top", [1, 2, 3])
def test_the_top_k_equal_those_of_a_sort(top):
    probs = np.random.default_rng(0).random((50, 3)).astype(np.float32)
    labels, scores = out = allocate_top_k(50, top, CATEGORIES)
    fill_top_k(out, slice(0, 50), probs, EQUAL_WEIGHTS)
    assert np.array_equal(labels, np.argsort(-probs, axis=1)[:, :top])
    assert np.array_equal(scores, -np.sort(-probs, axis=1)[:, :top])


def test_weights_decide_the_ranking_and_scores_stay_probabilities():
    labels, scores = out = allocate_top_k(2, 2, CATEGORIES)
    fill_top_k(out, slice(0, 2), PROBS, np.array([1, 0.5, 1], np.float32))
    assert labels.tolist() == [[2, 1], [0, 2]]
    np.testing.assert_array_equal(scores, np.array([[0.3, 0.5], [0.4, 0.4]], np.float32))


def test_at_most_all_categories_are_allocated():
    assert [array.shape for array in allocate_top_k(5, 7, CATEGORIES)] == [(5, 3), (5, 3)]


def test_a_title_has_a_row_for_each_of_its_categories():
    top_k = np.array([[1, 2], [0, 2]]), np.array([[0.5, 0.25], [0.5, 0.5]], np.float32)
    indices, columns = prediction_columns(pa.array(["x", "y"]), CATEGORIES, top_k)
    assert indices.tolist() == [0, 0, 1, 1]
    assert columns["category"].to_pylist() == ["b", "c", "a", "c"]
    assert columns["score"].to_pylist() == [0.5, 0.25, 0.5, 0.5]
    assert columns["reason"].null_count == 4


def test_a_title_without_a_category_has_one_row_and_a_reason():
    nan, titles = np.float32(np.nan), pa.array([None, "電話", "mesa", "silla"])
    top_k = np.zeros((4, 2), np.int64), np.array([[nan] * 2, [nan] * 2, [0.5, 0.25], [0.25, 0]], np.float32)
    indices, columns = prediction_columns(titles, CATEGORIES, top_k, min_score=0.5)
    assert indices.tolist() == [0, 1, 2, 3]
    assert columns["category"].to_pylist() == [None, None, "a", None]
    assert columns["score"].to_pylist() == [None, None, 0.5, None]
    assert columns["reason"].to_pylist() == ["no title", "no Latin letter or digit", None, "no score of 0.5 or more"]


@pytest.mark.parametrize(
    ("title", "reason"),
    [
        (None, "no title"),
        ("", "no title"),
        (" \t\u3000", "no title"),
        ("電話", "no Latin letter or digit"),
        ("👍🏽", "no Latin letter or digit"),
        ("¡¿...?!", "no Latin letter or digit"),
        ("x", "no usable word"),
    ],
)
def test_the_reason_is_what_a_title_lacks(title, reason):
    assert no_category_reason(title) == reason
