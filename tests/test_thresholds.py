import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from titles.thresholds import ACCURACIES, Threshold, thresholds

RATED = st.integers(0, 60).flatmap(
    lambda titles: st.tuples(arrays(np.bool_, titles), arrays(np.int64, titles, elements=st.integers(0, 1000)))
)


def test_a_threshold_takes_as_many_titles_as_keep_to_the_accuracy():
    is_right = np.array([True] * 18 + [False] * 12)
    scores = np.linspace(1, 0.1, 30, dtype=np.float32)
    lowest, middle, highest = thresholds(is_right, scores)
    assert (lowest.accuracy, lowest.share) == (0.9, round(20 / 30, 6))
    assert (middle.accuracy, middle.share) == (0.95, round(18 / 30, 6))
    assert (highest.accuracy, highest.share) == (0.99, round(18 / 30, 6))
    assert lowest.score == pytest.approx(scores[19], abs=1e-6)


def test_titles_that_score_the_same_are_taken_together_or_not_at_all():
    assert thresholds(np.array([True, True, False]), np.array([0.9, 0.5, 0.5], np.float32)) == [
        Threshold(accuracy, pytest.approx(0.9, abs=2e-6), pytest.approx(1 / 3, abs=1e-6)) for accuracy in ACCURACIES
    ]


def test_a_network_that_is_never_right_and_one_without_titles_have_no_threshold():
    assert thresholds(np.zeros(5, bool), np.ones(5, np.float32)) == []
    assert thresholds(np.zeros(0, bool), np.zeros(0, np.float32)) == []


@given(RATED)
def test_of_the_titles_that_reach_a_threshold_the_accuracy_is_what_it_says(rated):
    is_right, thousandths = rated
    scores = (thousandths / 1000).astype(np.float32)
    found = {threshold.accuracy: threshold for threshold in thresholds(is_right, scores)}
    for accuracy in ACCURACIES:
        kept = [reached for score in np.unique(scores) if is_right[reached := scores >= score].mean() >= accuracy]
        assert (accuracy in found) == bool(kept)
        if kept:
            assert ((scores >= found[accuracy].score) == kept[0]).all()
            assert found[accuracy].share == pytest.approx(kept[0].mean(), abs=1e-6)
