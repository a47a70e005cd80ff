from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.test_training import MODEL, PARAMS, ragged
from titles.checkpoint import Checkpoint
from titles.embedded import Labelled
from titles.hyperparameters import MlpParams
from titles.networks import MLP
from titles.steps import set_determinism
from titles.suspects import FEWEST_OF_CATEGORY, FEWEST_TITLES, Judged, SuspectSearch, _protect
from titles.vectors import Sizes

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
    return Labelled(ragged(np.stack([words, *codes], 1).tolist()), labels.astype(np.int32))


def mislabelled(titles, share):
    """The same with a share of wrong labels, and which those are."""
    rng = np.random.default_rng(9)
    wrong = rng.random(len(titles)) < share
    labels = np.where(wrong, (titles.labels + rng.integers(1, CATEGORIES, len(titles))) % CATEGORIES, titles.labels)
    return Labelled(titles.titles, labels.astype(np.int32)), wrong


def search(folder):
    def build():
        set_determinism(TRAIN, torch.device("cpu"))
        return MLP(Sizes(WORDS + CODES, WORDS + CODES, 1, 16, CATEGORIES), MODEL, MlpParams((16,)))

    even = torch.full((CATEGORIES,), 1 / CATEGORIES).log()
    checkpoint = Checkpoint(folder / "checkpoints" / "this")
    return SuspectSearch(build, checkpoint.of_search, SPELLING, even, TRAIN)


def test_wrong_labels_are_suspect_in_train_and_validation_and_right_ones_are_not(tmp_path):
    training, wrong = mislabelled(titles_of(FEWEST_TITLES, 0), 0.2)
    validation, wrong_there = mislabelled(titles_of(100, 1), 0.2)
    suspects = search(tmp_path).find(training, validation)
    for found, expected in zip(suspects, (wrong, wrong_there), strict=True):
        assert found[expected].mean() > 0.3
        assert found[~expected].mean() < 0.05


def test_no_label_is_suspect_where_all_are_right(tmp_path):
    suspects = search(tmp_path).find(titles_of(FEWEST_TITLES, 0), titles_of(100, 1))
    assert [found.any() for found in suspects] == [False, False]


def test_the_trial_is_a_gain_without_wrong_labels_and_none_without_right_ones(tmp_path):
    titles, wrong = mislabelled(titles_of(FEWEST_TITLES, 0), 0.3)
    right = ~wrong & (np.random.default_rng(5).random(len(titles)) < 0.5)
    own, unseen = np.split(np.arange(len(titles)), [FEWEST_TITLES // 2])
    is_gain = [
        search(tmp_path / name)._is_gain(titles, suspect, own, unseen, titles_of(50, 1))
        for name, suspect in (("wrong", wrong), ("right", right))
    ]
    assert is_gain == [True, False]


def test_of_few_titles_none_is_suspect_and_nothing_is_trained(tmp_path):
    def build():
        raise AssertionError

    few = replace(search(tmp_path), build=build)
    suspects = few.find(titles_of(FEWEST_TITLES - 1, 0), titles_of(5, 1))
    assert [found.sum() for found in suspects] == [0, 0]


def test_the_same_titles_have_the_same_suspects(tmp_path):
    training, _ = mislabelled(titles_of(FEWEST_TITLES, 0), 0.3)
    first, again = (search(tmp_path / name).find(training, titles_of(50, 1)) for name in ("first", "again"))
    assert np.array_equal(first[0], again[0])


@pytest.mark.parametrize(("size", "lost"), [(FEWEST_OF_CATEGORY - 1, 0), (FEWEST_OF_CATEGORY, 2), (9, 4)])
def test_a_category_keeps_half_of_its_titles_and_all_of_few(size, lost):
    labels = np.array([0] * size + [1] * 10, np.int32)
    of_label = np.linspace(0.4, 0.1, len(labels), dtype=np.float32)
    suspect = _protect(labels == 0, of_label, labels)
    # Those whose label is the least probable.
    assert np.array_equal(np.flatnonzero(suspect), np.arange(size - lost, size))


def test_a_label_is_suspect_where_another_category_is_as_probable_as_it_usually_is():
    judged = Judged(np.float32([0.9, 0.2, 0.2, 0.3]), np.int32([1, 1, 1, 0]), np.float32([0.1, 0.7, 0.8, 0.7]))
    # The last is less than three times as probable as the label.
    assert judged.suspects(np.array([0.4, 0.75])).tolist() == [False, False, True, False]


def test_the_average_of_a_category_of_few_titles_is_drawn_to_that_of_all():
    judged = Judged(np.float32([1, 1, 1, 0]), np.zeros(4, np.int32), np.zeros(4, np.float32))
    np.testing.assert_allclose(judged.averages(np.int32([0, 0, 0, 1]), 3), [6.75 / 8, 3.75 / 6, 0.75])


def test_what_was_found_is_there_for_a_training_that_goes_on(tmp_path):
    found = np.array([True, False]), np.array([False])
    folder = tmp_path / "checkpoints" / "this"
    assert Checkpoint(folder).found() is None
    Checkpoint(folder).keep_found(found)
    for saved, expected in zip(Checkpoint(folder).found(), found, strict=True):
        assert np.array_equal(saved, expected)
