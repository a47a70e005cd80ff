import json
from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from tests.evaluation.workspace import (
    NAMES,
    NETWORK_PARAMS,
    PREDICTED,
    RECALLS,
    TEST,
    TRAINING,
    WORDS,
    Workspace,
    probabilities_of,
)
from titles.metrics.classification import CALIBRATION_BINS

each_network = pytest.mark.parametrize("name", NAMES)


def test_the_history_of_every_network_is_copied_from_its_model_folder(workspace):
    trained = {name: (workspace.root / name / "history.csv").read_bytes() for name in NETWORK_PARAMS}
    assert {
        name: (workspace.root / "results" / f"{name}_history.csv").read_bytes() for name in NETWORK_PARAMS
    } == trained
    assert trained["mlp"] != trained["cnn"]


@each_network
def test_the_predictions_are_columns_of_the_test_titles(workspace, name):
    pd.testing.assert_frame_equal(
        workspace.predicted[["title", "category", "language", "label_quality"]],
        pd.DataFrame(TEST, columns=["title", "category", "language", "label_quality"]),
    )
    assert workspace.predicted[name].tolist() == PREDICTED


def test_thresholds_are_those_of_the_model_folders_and_the_mean_has_its_own(workspace):
    table = workspace.table("thresholds").set_index("network")
    for name in NETWORK_PARAMS:
        described = json.loads((workspace.root / name / "network.json").read_text())["thresholds"]
        assert table.loc[[name], ["accuracy", "score"]].values.tolist() == [
            [item["accuracy"], item["score"]] for item in described
        ]
    validation = [title for title, _ in TRAINING[:80]]
    confidence = probabilities_of(workspace, validation, "mean").max(1)
    assert table.loc[["mean"], "validation_titles"].tolist() == [80]
    assert table.loc[["mean"], "score"].tolist() == pytest.approx([confidence.min()], abs=1e-5)


def test_the_confidence_is_the_probability_of_the_category_that_the_mean_predicts(workspace):
    probabilities = probabilities_of(workspace, workspace.predicted.title, "mean")
    np.testing.assert_allclose(workspace.predicted.confidence, probabilities.max(1), rtol=1e-5)
    assert workspace.predicted["mean"].tolist() == [sorted(WORDS)[label] for label in probabilities.argmax(1)]


def test_the_categories_are_sorted_by_recall(workspace):
    table = workspace.table("recall_by_category")
    assert list(table.columns) == ["category", "train_titles", "test_titles", *NAMES]
    assert table[["category", "train_titles", "test_titles"]].values.tolist() == [
        ["ANIMALS", 0, 1],
        ["TOOLS", 80, 2],
        ["HOME", 80, 5],
        ["SHOES", 80, 2],
    ]
    for name in NAMES:
        assert table[name].tolist() == [RECALLS[category] for category in table.category]


def test_sorted_recall_is_ascending_for_each_network(workspace):
    table = workspace.table("sorted_recall")
    expected = [[0.25, 0, 0, 0], [0.5, 0.5, 0.5, 0.5], [0.75, 0.6, 0.6, 0.6], [1, 1, 1, 1]]
    assert (list(table.columns), table.values.tolist()) == (["share", *NAMES], expected)


def test_confused_pairs_count_titles_and_their_share_of_the_true_category(workspace):
    table = workspace.table("confused_pairs")
    assert list(table.columns) == ["category", "predicted_category", "titles", "share", "pair"]
    assert table.values.tolist() == [
        ["HOME", "SHOES", 2, 2 / 5, "HOME → SHOES"],
        ["ANIMALS", "TOOLS", 1, 1.0, "ANIMALS → TOOLS"],
        ["TOOLS", "SHOES", 1, 1 / 2, "TOOLS → SHOES"],
    ]


def test_reliability_has_a_row_for_every_bin_of_the_expected_calibration_error(workspace):
    table = workspace.table("reliability")
    assert list(table.columns) == ["confidence", *NAMES]
    assert len(table) == CALIBRATION_BINS
    assert np.diff(table.confidence, prepend=-1 / 30, append=1 + 1 / 30) == pytest.approx(1 / 15, abs=1e-5)


def test_reliability_is_the_accuracy_of_the_titles_in_each_bin(tmp_path):
    triples = permutations(TRAINING[:8], 3)
    mixed = [
        (f"{one} {other} {third}", category, "spanish", "reliable")
        for (one, category), (other, _), (third, _) in triples
    ]
    unsure = Workspace(tmp_path, test=mixed)
    metrics = unsure.evaluate()
    predicted, calibration = unsure.predicted, unsure.table("reliability")
    for name in NAMES:
        confidence = probabilities_of(unsure, predicted.title, name).max(1)
        is_right = predicted[name] == predicted.category
        bins = is_right.groupby(np.minimum(confidence * CALIBRATION_BINS // 1, CALIBRATION_BINS - 1))
        assert len(bins) > 2
        np.testing.assert_allclose(calibration[name], bins.mean().reindex(range(CALIBRATION_BINS)), atol=1e-6)
        # The calibration error follows from the rows of the chart.
        means = pd.Series(confidence).groupby(bins.ngroup()).mean().to_numpy()
        error = (np.abs(bins.mean().to_numpy() - means) * bins.size().to_numpy()).sum() / len(predicted)
        assert metrics[name]["expected_calibration_error"] == pytest.approx(error, abs=1e-5)


def test_there_are_no_confused_pairs_without_mistakes(tmp_path):
    flawless = Workspace(tmp_path, test=[row for row, label in zip(TEST, PREDICTED, strict=True) if row[1] == label])
    metrics = flawless.evaluate()
    assert [metrics[name]["balanced_accuracy"] for name in NAMES] == [1, 1, 1]
    assert flawless.table("confused_pairs").empty
    assert len(flawless.table("reliability")) == CALIBRATION_BINS


def test_accuracy_by_coverage_has_the_accuracy_and_the_lowest_confidence(tmp_path):
    unsure = Workspace(tmp_path, test=TEST * 2)
    unsure.evaluate()
    table = unsure.table("accuracy_by_coverage")
    assert table.share.tolist() == [0.5, 0.8, 0.9, 0.95, 1]
    for name in NAMES:
        probabilities = probabilities_of(unsure, unsure.predicted.title, name).max(1)
        right = (unsure.predicted[name] == unsure.predicted.category).to_numpy()
        order = np.argsort(-probabilities, kind="stable")
        assert table[f"{name}_accuracy"].iloc[-1] == right.mean()
        np.testing.assert_allclose(
            table[f"{name}_confidence"], [probabilities[order[count - 1]] for count in (10, 16, 18, 19, 20)], atol=1e-5
        )
