import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, recall_score

from titles.metrics.classification import (
    balanced_accuracy,
    confidence_bins,
    expected_calibration_error,
    recall_per_category,
    smoothed_standard_error,
)

CATEGORIES = 6
PAIRS = st.lists(st.tuples(*[st.integers(0, CATEGORIES - 1)] * 2), min_size=1, max_size=40)


def test_recall_is_the_share_of_a_category_that_was_predicted_as_such():
    np.testing.assert_array_equal(
        recall_per_category(np.array([0, 0, 0, 0, 2]), np.array([0, 2, 0, 1, 2]), 4), [0.5, np.nan, 1, np.nan]
    )


def test_every_category_has_the_same_weight_and_one_never_predicted_has_recall_zero():
    assert balanced_accuracy(np.array([0, 0, 0, 0, 9]), np.array([0, 0, 0, 1, 0])) == 0.375


@settings(deadline=None)
@given(PAIRS)
def test_recalls_are_those_of_scikit_learn(pairs):
    labels, predicted = np.array(pairs).T
    expected = recall_score(labels, predicted, labels=range(CATEGORIES), average=None, zero_division=np.nan)
    np.testing.assert_allclose(recall_per_category(labels, predicted, CATEGORIES), expected, rtol=1e-12)


@settings(deadline=None)
@given(PAIRS)
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true", "ignore:A single label")
def test_balanced_accuracy_is_that_of_scikit_learn(pairs):
    labels, predicted = np.array(pairs).T
    assert balanced_accuracy(labels, predicted) == pytest.approx(balanced_accuracy_score(labels, predicted), rel=1e-12)


def test_the_calibration_error_is_the_mean_distance_of_confidence_and_accuracy_within_bins():
    confidence = np.array([0.95, 0.97, 0.99, 0.55, 0.57, 1.0], np.float32)
    is_correct = np.array([True, True, False, False, True, True])
    # The last bin of fifteen holds the four above 14/15, the ninth the two others.
    expected = (abs(3 - confidence[[0, 1, 2, 5]].sum()) + abs(1 - confidence[[3, 4]].sum())) / 6
    assert expected_calibration_error(is_correct, confidence) == pytest.approx(expected, abs=1e-6)


def test_confidences_of_zero_and_one_are_in_the_first_and_the_last_bin():
    confidence = np.array([0, 0.99 / 15, 1.01 / 15, 0.5, 1], np.float32)
    assert confidence_bins(confidence).tolist() == [0, 0, 1, 7, 14]


def test_the_calibration_error_is_zero_if_accuracy_equals_confidence():
    assert expected_calibration_error(np.array([True, True, True, False]), np.full(4, 0.75)) == 0


def test_the_standard_error_is_the_standard_deviation_of_balanced_accuracy_over_samples_of_titles():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [40, 200, 1000])
    rates = np.array([0.6, 0.8, 0.9])

    def sample():
        return np.where(rng.random(len(labels)) < rates[labels], labels, 3)

    std = np.std([balanced_accuracy(labels, sample()) for _ in range(2000)])
    assert smoothed_standard_error(labels, sample()) == pytest.approx(std, rel=0.1)


def test_a_category_of_a_single_title_is_uncertain_whether_it_was_right_or_wrong():
    right, wrong = (smoothed_standard_error(np.array([0]), np.array([predicted])) for predicted in (0, 1))
    assert right == wrong == pytest.approx((2 / 9) ** 0.5)


def test_categories_without_titles_do_not_affect_the_standard_error():
    labels, predicted = np.array([0, 0, 5]), np.array([0, 1, 5])
    assert smoothed_standard_error(labels, predicted) == smoothed_standard_error(
        np.minimum(labels, 1), np.array([0, 2, 1])
    )
