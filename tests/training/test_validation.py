import math

import numpy as np
import pytest

from tests.training.toy import (
    labelled,
    predicted,
    run,
)
from titles.metrics.classification import recall_per_category, smoothed_standard_error
from titles.nn.hparams import ModelParams


def test_logit_adjustment_predicts_the_rare_category_for_ambiguous_titles(tmp_path):
    # Word 1 occurs in 20 of 100 titles of the frequent category and in 10 of 12 of the rare one.
    titles = [[0]] * 80 + [[1]] * 20 + [[0]] * 2 + [[1]] * 10
    ambiguous = labelled(titles, [0] * 100 + [1] * 12)
    plain = ModelParams("tanh", "trained", dropout=0.0, word_dropout=0.0, ensemble_size=1)
    _, _, network = run(tmp_path, ambiguous, ambiguous, model=plain, epochs=20, patience=20, batch_size=28)
    recalls = recall_per_category(ambiguous.labels, predicted(network, ambiguous.titles), 2)
    np.testing.assert_allclose(recalls, [80 / 100, 10 / 12])


@pytest.mark.parametrize(("objective", "expected"), [("accuracy", 100 / 112), ("balanced_accuracy", 90 / 112)])
def test_validation_predicts_for_the_objective(tmp_path, objective, expected):
    # Word 1 occurs in 20 of 100 titles of the frequent category and in 10 of 12 of the rare one.
    titles = [[0]] * 80 + [[1]] * 20 + [[0]] * 2 + [[1]] * 10
    ambiguous = labelled(titles, [0] * 100 + [1] * 12)
    plain = ModelParams("tanh", "trained", dropout=0.0, word_dropout=0.0, ensemble_size=1)
    history, *_ = run(
        tmp_path, ambiguous, ambiguous, model=plain, objective=objective, epochs=20, patience=20, batch_size=28
    )
    assert history[-1].validation_accuracy == pytest.approx(expected, abs=1e-6)


def test_validation_measures_the_standard_error_of_balanced_accuracy_and_not_of_accuracy(tmp_path):
    titles = [[0]] * 80 + [[1]] * 20 + [[0]] * 2 + [[1]] * 10
    ambiguous = labelled(titles, [0] * 100 + [1] * 12)
    history, _, network = run(tmp_path, ambiguous, ambiguous, objective="balanced_accuracy", epochs=1)
    predicted_labels = predicted(network, ambiguous.titles)
    expected = smoothed_standard_error(ambiguous.labels, predicted_labels)
    assert history[-1].validation_standard_error == pytest.approx(expected, abs=1e-6)
    accuracy = (predicted_labels == ambiguous.labels).mean()
    # Balanced accuracy is less certain, because the rare category has few titles.
    assert expected > 1.3 * np.sqrt(accuracy * (1 - accuracy) / len(predicted_labels))


def test_validation_titles_of_untrained_categories_count_zero_and_have_no_loss(tmp_path):
    with_untrained = labelled([[0, 1], [3, 4], [6, 7], [2], [5]], [0, 1, 2, 3, 7])
    without = labelled([[0, 1], [3, 4], [6, 7]], [0, 1, 2])
    last = run(tmp_path, validation=with_untrained, epochs=20)[0][-1]
    assert (last.validation_accuracy, last.validation_balanced_accuracy) == (0.6, 0.6)
    assert last.validation_loss == pytest.approx(
        run(tmp_path, validation=without, epochs=20)[0][-1].validation_loss, abs=2e-6
    )


def test_the_loss_is_nan_if_all_validation_titles_are_of_untrained_categories(tmp_path):
    history, *_ = run(tmp_path, validation=labelled([[0], [3]], [3, 4]), epochs=2)
    assert [math.isnan(epoch.validation_loss) for epoch in history] == [True, True]
    assert [epoch.validation_balanced_accuracy for epoch in history] == [0, 0]


def test_validation_does_not_depend_on_the_number_of_batches(tmp_path):
    repeated = labelled([[0]] * 700 + [[3]] * 700 + [[6]] * 700, [0] * 700 + [1] * 700 + [2] * 700)
    single = labelled([[0], [3], [6]], [0, 1, 2])
    found, expected = (run(tmp_path, validation=validation, epochs=3)[0][-1] for validation in (repeated, single))
    assert found.validation_loss == pytest.approx(expected.validation_loss, abs=2e-6)
    assert found.validation_balanced_accuracy == expected.validation_balanced_accuracy
