import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binom

from titles.metrics.thresholds import CONFIDENCE, NUM_CANDIDATES, TARGET_ACCURACIES, Threshold, select_thresholds

SCORED = st.integers(0, 400).flatmap(
    lambda titles: st.tuples(
        arrays(np.bool_, titles, elements=st.sampled_from([True] * 9 + [False])),
        arrays(np.int64, titles, elements=st.integers(0, 1000)),
    )
)


def test_a_threshold_covers_as_many_titles_as_reach_the_target_accuracy():
    is_correct = np.array([True] * 1500 + [True, False] * 250)
    scores = np.linspace(1, 0.1, 2000, dtype=np.float32)
    found = select_thresholds(is_correct, scores)
    assert [(one.accuracy, one.titles, one.correct, one.share) for one in found] == [
        (0.9, 1700, 1600, 0.85),
        (0.95, 1600, 1550, 0.8),
        (0.99, 1500, 1500, 0.75),
    ]
    assert found[0].score == pytest.approx(scores[1699], abs=1e-6)
    assert {one.confidence for one in found} == {0.95}


@pytest.mark.parametrize(
    ("titles", "accuracies"), [(56, []), (57, [0.9]), (117, [0.9, 0.95]), (597, [0.9, 0.95, 0.99])]
)
def test_an_accuracy_needs_a_minimum_number_of_titles_even_without_errors(titles, accuracies):
    # accuracy ** titles <= 0.05 / 20
    found = select_thresholds(np.ones(titles, bool), np.ones(titles, np.float32))
    assert [one.accuracy for one in found] == accuracies


def test_126_titles_with_three_errors_are_too_few_for_the_higher_accuracies():
    is_correct, scores = np.array([True] * 123 + [False] * 3), np.linspace(1, 0.999995, 126, dtype=np.float32)
    assert [one.accuracy for one in select_thresholds(is_correct, scores)] == [0.9]


def test_titles_with_the_same_score_are_included_together_or_not_at_all():
    is_correct, scores = np.array([True] * 75 + [False] * 25), np.array([0.9] * 60 + [0.5] * 40, np.float32)
    assert select_thresholds(is_correct, scores) == [Threshold(0.9, 0.95, pytest.approx(0.9, abs=2e-6), 0.6, 60, 60)]


def test_without_correct_decisions_or_without_titles_there_is_no_threshold():
    assert select_thresholds(np.zeros(500, bool), np.ones(500, np.float32)) == []
    assert select_thresholds(np.zeros(0, bool), np.zeros(0, np.float32)) == []


@given(SCORED)
def test_a_threshold_is_the_lowest_score_whose_titles_pass_the_binomial_test(scored):
    is_correct, thousandths = scored
    scores = (thousandths / 1000).astype(np.float32)
    found = {threshold.accuracy: threshold for threshold in select_thresholds(is_correct, scores)}
    counts = (
        {int(np.ceil(index * len(scores) / NUM_CANDIDATES)) for index in range(1, NUM_CANDIDATES + 1)}
        if len(scores)
        else ()
    )
    candidates = np.unique([np.sort(scores)[-count] for count in counts])
    for accuracy in TARGET_ACCURACIES:
        above = [scores >= score for score in candidates]
        p_values = [binom.sf(is_correct[one].sum() - 1, one.sum(), accuracy) for one in above]
        level = (1 - CONFIDENCE) / NUM_CANDIDATES
        passing = [one for one, p_value in zip(above, p_values, strict=True) if p_value <= level]
        assert (accuracy in found) == bool(passing)
        if passing:
            assert ((scores >= found[accuracy].score) == passing[0]).all()
            assert (found[accuracy].titles, found[accuracy].correct) == (passing[0].sum(), is_correct[passing[0]].sum())
            assert found[accuracy].share == pytest.approx(passing[0].mean(), abs=1e-6)


def test_a_threshold_is_false_in_fewer_than_one_of_twenty_samples():
    """The accuracy above a score `s` is `.97 - .1 * (1 - s)`, so above .3 it is .9 and above .8 it is .95."""
    rng, samples = np.random.default_rng(2019), 400
    false = dict.fromkeys(TARGET_ACCURACIES, 0)
    for _ in range(samples):
        scores = rng.random(1500, np.float32)
        is_correct = rng.random(1500) < 0.97 - 0.2 * (1 - scores)
        for one in select_thresholds(is_correct, scores):
            false[one.accuracy] += 0.97 - 0.1 * (1 - one.score) < one.accuracy
    assert max(false.values()) <= 0.05 * samples
