from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.training.test_trainer import MODEL, PARAMS, ragged
from titles.data.encoded_dataset import LabelledDataset
from titles.nn.hparams import MlpParams
from titles.nn.networks import MLP
from titles.nn.word_embedding import Sizes
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
# Each word is its own subword; word w is of category w % 3. Codes are of none.
SPELLING = ragged([[word] for word in range(WORDS + CODES)])
TRAIN = replace(PARAMS, epochs=8, min_steps=200, batch_size=32, drop_suspect_labels=True)


def titles_of(count, seed):
    """Titles of a word of their category and two codes, by which their labels can be learned by heart."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CATEGORIES, count)
    words = labels + CATEGORIES * rng.integers(0, WORDS // CATEGORIES, count)
    codes = rng.integers(WORDS, WORDS + CODES, (2, count))
    return LabelledDataset(
        ragged(np.stack([words, *codes], 1).tolist()), labels.astype(np.int32), np.zeros(count, bool)
    )


def mislabelled(titles, share):
    """The same with a share of wrong labels, and which those are."""
    rng = np.random.default_rng(9)
    wrong = rng.random(len(titles)) < share
    labels = np.where(wrong, (titles.labels + rng.integers(1, CATEGORIES, len(titles))) % CATEGORIES, titles.labels)
    return replace(titles, labels=labels.astype(np.int32)), wrong


def search(folder):
    def build():
        set_determinism(TRAIN, torch.device("cpu"))
        return MLP(Sizes(WORDS + CODES, WORDS + CODES, 1, 16, CATEGORIES), MODEL, MlpParams(1, 16, 4))

    even = torch.full((CATEGORIES,), 1 / CATEGORIES).log()
    checkpoint = Checkpoint(folder / "checkpoints" / "this")
    return SuspectSearch(build, checkpoint.for_search, SPELLING, even, TRAIN)


def test_wrong_labels_are_suspect_in_train_and_validation_and_right_ones_are_not(tmp_path):
    training, wrong = mislabelled(titles_of(MIN_TITLES, 0), 0.2)
    validation, wrong_there = mislabelled(titles_of(100, 1), 0.2)
    suspects = search(tmp_path).find(training, validation)
    for found, expected in zip(suspects, (wrong, wrong_there), strict=True):
        assert found[expected].mean() > 0.6
        assert found[~expected].mean() < 0.1


def test_no_label_is_suspect_where_all_are_right_and_the_log_says_that_all_titles_are_kept(tmp_path, caplog):
    caplog.set_level("INFO", logger="titles.training.suspect_search")
    suspects = search(tmp_path).find(titles_of(MIN_TITLES, 0), titles_of(100, 1))
    assert [found.any() for found in suspects] == [False, False]
    assert caplog.messages[-1] == "leaving out labels that look wrong is no gain: all titles are kept"


@pytest.mark.parametrize(
    ("won", "lost", "titles", "expected"),
    [
        (90, 60, 1_000, True),
        (80, 60, 1_000, False),
        (30, 0, 10_000, False),
        (60, 0, 10_000, True),
        (0, 90, 1_000, False),
    ],
)
def test_the_first_gain_must_be_two_standard_errors_and_half_a_percent_of_the_titles(won, lost, titles, expected):
    assert is_significant_gain(won, lost, titles) is expected


def test_no_reviewed_label_is_suspect(tmp_path):
    training, wrong = mislabelled(titles_of(2 * MIN_TITLES, 0), 0.3)
    reviewed = wrong & (np.arange(len(wrong)) % 4 == 0)
    suspect, _ = search(tmp_path).find(replace(training, reliable=reviewed), titles_of(50, 1))
    assert suspect[wrong & ~reviewed].mean() > 0.3
    assert not suspect[reviewed].any()


@pytest.mark.parametrize("others", [0, 29])
def test_where_nearly_all_labels_are_reviewed_nothing_is_trained(tmp_path, others):
    def build():
        raise AssertionError

    training = replace(titles_of(MIN_TITLES, 0), reliable=np.arange(MIN_TITLES) >= others)
    assert not replace(search(tmp_path), build=build).find(training, titles_of(5, 1))[0].any()


def test_of_few_titles_none_is_suspect_and_nothing_is_trained(tmp_path):
    def build():
        raise AssertionError

    few = replace(search(tmp_path), build=build)
    suspects = few.find(titles_of(MIN_TITLES - 1, 0), titles_of(5, 1))
    assert [found.sum() for found in suspects] == [0, 0]


def test_the_same_titles_have_the_same_suspects(tmp_path):
    training, _ = mislabelled(titles_of(MIN_TITLES, 0), 0.3)
    first, again = (search(tmp_path / name).find(training, titles_of(50, 1)) for name in ("first", "again"))
    assert np.array_equal(first[0], again[0])


@pytest.mark.parametrize(
    ("size", "kept"), [(MIN_CATEGORY_TITLES - 1, 4), (MIN_CATEGORY_TITLES, 5), (20, 5), (21, 6), (100, 25)]
)
def test_a_category_needs_a_quarter_of_its_titles_and_some_of_few(size, kept):
    labels = np.array([1] * 10 + [0] * size, np.int32)
    odds = np.linspace(0, 9, len(labels), dtype=np.float32)
    # Those whose label is the most probable.
    assert np.array_equal(np.flatnonzero(required_titles(odds, labels))[-kept:], np.arange(10, 10 + kept))


def test_what_is_needed_within_a_group_does_not_depend_on_titles_outside():
    labels = np.zeros(40, np.int32)
    # The lowest odds, by which titles are kept first, are those of titles outside the halves.
    odds = np.repeat(np.float32([1, 2, 0]), [10, 10, 20])
    halves = np.arange(10), np.arange(10, 20)
    is_needed = required_titles_by_group(halves, odds, labels)
    assert [is_needed[half].sum() for half in halves] == [MIN_CATEGORY_TITLES, MIN_CATEGORY_TITLES]
    assert not is_needed[20:].any()
    assert not required_titles(odds, labels)[:20].any()


def test_in_a_trial_a_half_keeps_titles_of_a_category_whose_labels_all_look_wrong(tmp_path, monkeypatch):
    def judge(self, _, titles):
        looks_wrong = titles.labels == 0
        of_label, of_other = np.where(looks_wrong, [[0.1], [0.8]], [[0.9], [0.05]]).astype(np.float32)
        return LabelProbabilities(of_label, looks_wrong.astype(np.int32), of_other)

    learned = {}

    def right(self, name, titles, validation, test):
        learned[name] = np.bincount(titles.labels, minlength=CATEGORIES)
        return np.zeros(len(test), bool)

    monkeypatch.setattr(SuspectSearch, "_train", lambda *_: None)
    monkeypatch.setattr(SuspectSearch, "_calibrate", lambda *_: None)
    monkeypatch.setattr(SuspectSearch, "_label_probabilities", judge)
    monkeypatch.setattr(SuspectSearch, "_correct_predictions", right)
    search(tmp_path).find(titles_of(MIN_TITLES, 0), titles_of(50, 1))
    before, after = learned["trial-all"], learned["trial-0"]
    assert after.tolist() == [np.ceil(0.25 * before[0]), *before[1:]]


def test_a_label_is_suspect_where_another_category_is_half_as_probable_as_it_usually_is():
    judged = LabelProbabilities(
        np.float32([0.9, 0.1, 0.1, 0.2]), np.int32([1, 1, 1, 0]), np.float32([0.1, 0.35, 0.4, 0.5])
    )
    # The last is less than three times as probable as the label.
    assert judged.suspects(np.array([0.4, 0.75])).tolist() == [False, False, True, False]


def test_the_average_of_a_category_of_few_titles_is_drawn_to_that_of_all():
    judged = LabelProbabilities(np.float32([1, 1, 1, 0]), np.zeros(4, np.int32), np.zeros(4, np.float32))
    np.testing.assert_allclose(judged.mean_label_probs(np.int32([0, 0, 0, 1]), 3), [6.75 / 8, 3.75 / 6, 0.75])


def test_what_was_found_is_there_for_a_training_that_goes_on(tmp_path):
    found = np.array([True, False]), np.array([False])
    folder = tmp_path / "checkpoints" / "this"
    assert Checkpoint(folder).load_suspects() is None
    Checkpoint(folder).save_suspects(found)
    for saved, expected in zip(Checkpoint(folder).load_suspects(), found, strict=True):
        assert np.array_equal(saved, expected)
