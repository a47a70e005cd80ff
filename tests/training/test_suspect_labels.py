from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.training.toy import MODEL, PARAMS, ragged
from titles.data.encoded_dataset import LabelledDataset
from titles.nn.hparams import MlpParams
from titles.nn.networks import MLP
from titles.nn.word_embedding import Sizes
from titles.training import suspect_search
from titles.training.checkpoint import Checkpoint
from titles.training.suspect_labels import (
    MIN_CATEGORY_TITLES,
    LabelProbabilities,
    required_titles,
    required_titles_by_group,
)
from titles.training.suspect_search import MIN_TITLES, SuspectSearch, is_significant_gain
from titles.training.train_step import set_determinism

CATEGORIES, WORDS, CODES = 3, 30, 2_000
# Each word is its own subword. Word w belongs to category w % 3; codes belong to none.
SUBWORD_IDS = ragged([[word] for word in range(WORDS + CODES)])
TRAIN = replace(PARAMS, epochs=8, min_steps=200, batch_size=32, drop_suspect_labels=True)


def titles_of(count, seed):
    """Titles of a word of their category and two codes, by which a network can memorise their labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CATEGORIES, count)
    words = labels + CATEGORIES * rng.integers(0, WORDS // CATEGORIES, count)
    codes = rng.integers(WORDS, WORDS + CODES, (2, count))
    return LabelledDataset(
        ragged(np.stack([words, *codes], 1).tolist()), labels.astype(np.int32), np.zeros(count, bool)
    )


def mislabelled(titles, share):
    """The same titles with a share of wrong labels, and which labels are wrong."""
    rng = np.random.default_rng(9)
    wrong = rng.random(len(titles)) < share
    labels = np.where(wrong, (titles.labels + rng.integers(1, CATEGORIES, len(titles))) % CATEGORIES, titles.labels)
    return replace(titles, labels=labels.astype(np.int32)), wrong


def search(folder):
    def build():
        set_determinism(TRAIN, torch.device("cpu"))
        return MLP(Sizes(WORDS + CODES, WORDS + CODES, 1, 16, CATEGORIES), MODEL, MlpParams(1, 16, 4))

    log_shares = torch.full((CATEGORIES,), 1 / CATEGORIES).log()
    checkpoint = Checkpoint(folder / "checkpoints" / "this")
    return SuspectSearch(build, checkpoint.for_search, SUBWORD_IDS, log_shares, TRAIN)


def test_wrong_labels_are_suspect_in_train_and_validation_and_right_ones_are_not(tmp_path):
    training, wrong = mislabelled(titles_of(MIN_TITLES, 0), 0.2)
    validation, wrong_validation = mislabelled(titles_of(100, 1), 0.2)
    suspects = search(tmp_path).find(training, validation)
    for is_suspect, is_wrong in zip(suspects, (wrong, wrong_validation), strict=True):
        assert is_suspect[is_wrong].mean() > 0.6
        assert is_suspect[~is_wrong].mean() < 0.1


def test_no_label_is_suspect_if_all_are_right_and_the_log_reports_that_all_titles_are_used(tmp_path, caplog):
    caplog.set_level("INFO", logger="titles.training.suspect_search")
    suspects = search(tmp_path).find(titles_of(MIN_TITLES, 0), titles_of(100, 1))
    assert [is_suspect.any() for is_suspect in suspects] == [False, False]
    assert caplog.messages[-1] == "leaving out suspect labels does not help: training uses all titles"


@pytest.mark.parametrize(
    ("gained", "lost", "titles", "expected"),
    [
        (90, 60, 1_000, True),
        (80, 60, 1_000, False),
        (30, 0, 10_000, False),
        (60, 0, 10_000, True),
        (0, 90, 1_000, False),
    ],
)
def test_the_first_gain_must_be_two_standard_errors_and_half_a_percent_of_the_titles(gained, lost, titles, expected):
    assert is_significant_gain(gained, lost, titles) is expected


def test_no_reviewed_label_is_suspect(tmp_path):
    training, wrong = mislabelled(titles_of(2 * MIN_TITLES, 0), 0.3)
    reviewed = wrong & (np.arange(len(wrong)) % 4 == 0)
    suspect, _ = search(tmp_path).find(replace(training, reliable=reviewed), titles_of(50, 1))
    assert suspect[wrong & ~reviewed].mean() > 0.3
    assert not suspect[reviewed].any()


@pytest.mark.parametrize("unreviewed", [0, 29])
def test_no_network_is_trained_if_nearly_all_labels_are_reviewed(tmp_path, unreviewed):
    def build():
        raise AssertionError

    training = replace(titles_of(MIN_TITLES, 0), reliable=np.arange(MIN_TITLES) >= unreviewed)
    assert not replace(search(tmp_path), build=build).find(training, titles_of(5, 1))[0].any()


def test_no_label_is_suspect_and_no_network_is_trained_with_too_few_titles(tmp_path):
    def build():
        raise AssertionError

    few = replace(search(tmp_path), build=build)
    suspects = few.find(titles_of(MIN_TITLES - 1, 0), titles_of(5, 1))
    assert [is_suspect.sum() for is_suspect in suspects] == [0, 0]


def test_the_same_titles_have_the_same_suspects(tmp_path):
    training, _ = mislabelled(titles_of(MIN_TITLES, 0), 0.3)
    first, again = (search(tmp_path / name).find(training, titles_of(50, 1)) for name in ("first", "again"))
    assert np.array_equal(first[0], again[0])


@pytest.mark.parametrize(
    ("size", "required"), [(MIN_CATEGORY_TITLES - 1, 4), (MIN_CATEGORY_TITLES, 5), (20, 5), (21, 6), (100, 25)]
)
def test_a_category_retains_a_quarter_of_its_titles_and_at_least_a_minimum(size, required):
    labels = np.array([1] * 10 + [0] * size, np.int32)
    odds = np.linspace(0, 9, len(labels), dtype=np.float32)
    # The titles with the lowest odds.
    assert np.array_equal(np.flatnonzero(required_titles(odds, labels))[-required:], np.arange(10, 10 + required))


def test_the_required_titles_of_a_group_do_not_depend_on_other_titles():
    labels = np.zeros(40, np.int32)
    # The lowest odds, which are retained first, belong to titles outside the halves.
    odds = np.repeat(np.float32([1, 2, 0]), [10, 10, 20])
    halves = np.arange(10), np.arange(10, 20)
    is_required = required_titles_by_group(halves, odds, labels)
    assert [is_required[half].sum() for half in halves] == [MIN_CATEGORY_TITLES, MIN_CATEGORY_TITLES]
    assert not is_required[20:].any()
    assert not required_titles(odds, labels)[:20].any()


def test_in_a_trial_a_half_retains_titles_of_a_category_whose_labels_are_all_suspect(tmp_path, monkeypatch):
    def label_probabilities(network, titles, subword_ids):
        looks_wrong = titles.labels == 0
        label_probs, other_probs = np.where(looks_wrong, [[0.1], [0.8]], [[0.9], [0.05]]).astype(np.float32)
        return LabelProbabilities(label_probs, looks_wrong.astype(np.int32), other_probs)

    label_counts = {}

    def correct_predictions(self, name, titles, validation, test):
        label_counts[name] = np.bincount(titles.labels, minlength=CATEGORIES)
        return np.zeros(len(test), bool)

    monkeypatch.setattr(SuspectSearch, "_train", lambda *_: None)
    monkeypatch.setattr(suspect_search, "calibrate_on", lambda *_: None)
    monkeypatch.setattr(suspect_search, "label_probabilities", label_probabilities)
    monkeypatch.setattr(SuspectSearch, "_correct_predictions", correct_predictions)
    search(tmp_path).find(titles_of(MIN_TITLES, 0), titles_of(50, 1))
    before, after = label_counts["trial-all"], label_counts["trial-0"]
    assert after.tolist() == [np.ceil(0.25 * before[0]), *before[1:]]


def test_a_label_is_suspect_if_another_category_has_half_of_its_own_mean_probability():
    probs = LabelProbabilities(
        np.float32([0.9, 0.1, 0.1, 0.2]), np.int32([1, 1, 1, 0]), np.float32([0.1, 0.35, 0.4, 0.5])
    )
    # The last is less than three times as probable as the label.
    assert probs.suspects(np.array([0.4, 0.75])).tolist() == [False, False, True, False]


def test_the_mean_probability_of_a_small_category_is_smoothed_towards_the_overall_mean():
    probs = LabelProbabilities(np.float32([1, 1, 1, 0]), np.zeros(4, np.int32), np.zeros(4, np.float32))
    np.testing.assert_allclose(probs.mean_label_probs(np.int32([0, 0, 0, 1]), 3), [6.75 / 8, 3.75 / 6, 0.75])


def test_a_resumed_training_loads_the_suspects_that_were_found_before(tmp_path):
    suspects = np.array([True, False]), np.array([False])
    folder = tmp_path / "checkpoints" / "this"
    assert Checkpoint(folder).load_suspects() is None
    Checkpoint(folder).save_suspects(suspects)
    for saved, expected in zip(Checkpoint(folder).load_suspects(), suspects, strict=True):
        assert np.array_equal(saved, expected)
