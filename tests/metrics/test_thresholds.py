import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binom

from titles.metrics.thresholds import CONFIDENCE, NUM_CANDIDATES, TARGET_ACCURACIES, Threshold, select_thresholds

RATED = st.integers(0, 400).flatmap(
    lambda titles: st.tuples(
        arrays(np.bool_, titles, elements=st.sampled_from([True] * 9 + [False])),
        arrays(np.int64, titles, elements=st.integers(0, 1000)),
    )
)


def test_a_threshold_takes_as_many_titles_as_keep_to_the_accuracy():
    is_right = np.array([True] * 1500 + [True, False] * 250)
    scores = np.linspace(1, 0.1, 2000, dtype=np.float32)
    found = select_thresholds(is_right, scores)
    assert [(one.accuracy, one.titles, one.right, one.share) for one in found] == [
        (0.9, 1700, 1600, 0.85),
        (0.95, 1600, 1550, 0.8),
        (0.99, 1500, 1500, 0.75),
    ]
    assert found[0].score == pytest.approx(scores[1699], abs=1e-6)
    assert {one.confidence for one in found} == {0.95}


@pytest.mark.parametrize(
    ("titles", "accuracies"), [(56, []), (57, [0.9]), (117, [0.9, 0.95]), (597, [0.9, 0.95, 0.99])]
)
def test_without_a_mistake_it_takes_so_many_titles_to_be_sure_of_an_accuracy(titles, accuracies):
    # accuracy ** titles <= 0.05 / 20
    found = select_thresholds(np.ones(titles, bool), np.ones(titles, np.float32))
    assert [one.accuracy for one in found] == accuracies


def test_the_few_surest_titles_of_the_demo_are_too_few_for_a_threshold():
    is_right, scores = np.array([True] * 123 + [False] * 3), np.linspace(1, 0.999995, 126, dtype=np.float32)
    assert [one.accuracy for one in select_thresholds(is_right, scores)] == [0.9]


def test_titles_that_score_the_same_are_taken_together_or_not_at_all():
    is_right, scores = np.array([True] * 75 + [False] * 25), np.array([0.9] * 60 + [0.5] * 40, np.float32)
    assert select_thresholds(is_right, scores) == [Threshold(0.9, 0.95, pytest.approx(0.9, abs=2e-6), 0.6, 60, 60)]


def test_a_network_that_is_never_right_and_one_without_titles_have_no_threshold():
    assert select_thresholds(np.zeros(500, bool), np.ones(500, np.float32)) == []
    assert select_thresholds(np.zeros(0, bool), np.zeros(0, np.float32)) == []


@given(RATED)
def test_a_threshold_is_the_lowest_score_whose_titles_pass_the_binomial_test(rated):
    is_right, thousandths = rated
    scores = (thousandths / 1000).astype(np.float32)
    found = {threshold.accuracy: threshold for threshold in select_thresholds(is_right, scores)}
    counts = (
        {int(np.ceil(part * len(scores) / NUM_CANDIDATES)) for part in range(1, NUM_CANDIDATES + 1)}
        if len(scores)
        else ()
    )
    candidates = np.unique([np.sort(scores)[-count] for count in counts])
    for accuracy in TARGET_ACCURACIES:
        above = [scores >= score for score in candidates]
        tests = [binom.sf(is_right[one].sum() - 1, one.sum(), accuracy) for one in above]
        passing = [one for one, test in zip(above, tests, strict=True) if test <= (1 - CONFIDENCE) / NUM_CANDIDATES]
        assert (accuracy in found) == bool(passing)
        if passing:
            assert ((scores >= found[accuracy].score) == passing[0]).all()
            assert (found[accuracy].titles, found[accuracy].right) == (passing[0].sum(), is_right[passing[0]].sum())
            assert found[accuracy].share == pytest.approx(passing[0].mean(), abs=1e-6)


def test_a_threshold_is_false_in_fewer_than_one_of_twenty_samples():
    """The accuracy above a score `s` is `.97 - .1 * (1 - s)`, so above .3 it is .9 and above .8 it is .95."""
    rng, samples = np.random.default_rng(2019), 400
    false = dict.fromkeys(TARGET_ACCURACIES, 0)
    for _ in range(samples):
        scores = rng.random(1500, np.float32)
        is_right = rng.random(1500) < 0.97 - 0.2 * (1 - scores)
        for one in select_thresholds(is_right, scores):
            false[one.accuracy] += 0.97 - 0.1 * (1 - one.score) < one.accuracy
    assert max(false.values()) <= 0.05 * samples
