import numpy as np
import pandas as pd

from titles.evaluation.tables import MAX_EXAMPLES, assign_bins, confused_pairs, metrics_by_group, mistakes, thresholds
from titles.inference.predict import Predictions
from titles.metrics.thresholds import Threshold

CATEGORIES = pd.Index(["HOME", "SHOES", "TOOLS"], dtype="str")


def predictions(predicted_label, confidence=None):
    rows = len(predicted_label)
    probs = np.ones(rows, np.float32) if confidence is None else np.array(confidence, np.float32)
    return Predictions(np.array(predicted_label, np.int64), probs, probs, np.ones(rows, np.bool_))


def test_a_bin_holds_the_values_from_its_edge_up_to_the_next():
    bins = assign_bins(np.array([0, 1, 2, 3, 999, 1000, 10**9]), (1, 3, 1000, 5000))
    assert bins.tolist() == ["0", "1–2", "1–2", "3–999", "3–999", "1,000–4,999", "5,000 or more"]


def test_a_group_has_its_titles_its_categories_and_both_accuracies():
    all_predictions = {"mlp": predictions([0, 0, 1, 1, 2]), "cnn": predictions([0, 0, 0, 0, 0])}
    table = metrics_by_group(np.array([0, 0, 0, 1, 1]), all_predictions, pd.Series(["b", "b", "b", "b", "a"]))
    assert table.index.tolist() == ["a", "b"]
    columns = ["titles", "categories", "mlp_balanced_accuracy", "mlp_accuracy", "cnn_balanced_accuracy", "cnn_accuracy"]
    assert table.columns.tolist() == columns
    assert table.loc["a"].tolist() == [1, 1, 0, 0, 0, 0]
    assert table.loc["b"].tolist() == [4, 2, (2 / 3 + 1) / 2, 3 / 4, 1 / 2, 3 / 4]


def test_groups_are_in_the_order_of_their_bins_without_empty_ones():
    table = metrics_by_group(
        np.zeros(3, np.int32), {"mlp": predictions([0, 0, 0])}, assign_bins(np.array([70, 9, 0]), (1, 10, 50))
    )
    assert table.index.tolist() == ["0", "1–9", "50 or more"]


def test_the_most_confident_mistakes_of_every_confused_pair_come_first():
    labels = np.array([0, 0, 0, 0, 0, 2, 1], np.int32)
    predicted = predictions([1, 1, 1, 1, 0, 0, 1], [0.125, 0.75, 0.5, 0.75, 1.0, 0.25, 1.0])
    titles = pd.Series([f"title {row}" for row in range(7)])
    pairs = confused_pairs(labels, predicted.predicted_label, CATEGORIES)
    found = mistakes(pairs, labels, predicted, titles, CATEGORIES)
    assert MAX_EXAMPLES == 3
    expected = [("title 1", "SHOES"), ("title 3", "SHOES"), ("title 2", "SHOES"), ("title 5", "HOME")]
    assert list(zip(found.title, found.predicted_category, strict=True)) == expected
    assert found.confidence.tolist() == [0.75, 0.75, 0.5, 0.25]


def test_there_are_no_mistakes_of_pairs_that_are_not_shown():
    labels, predicted = np.array([0, 2], np.int32), predictions([1, 1])
    pairs = confused_pairs(labels, predicted.predicted_label, CATEGORIES)[:1]
    found = mistakes(pairs, labels, predicted, pd.Series(["mesa", "taladro"]), CATEGORIES)
    assert found.title.tolist() == ["mesa"]


def test_a_threshold_has_its_accuracy_on_validation_and_on_test():
    all_predictions = {"mlp": predictions([0, 0, 1, 1], [0.9, 0.5, 0.5, 0.25])}
    selected = [Threshold(0.9, 0.95, 0.5, 0.75, 60, 57), Threshold(0.95, 0.95, 0.95, 0.5, 40, 40)]
    table = thresholds({"mlp": selected}, np.array([0, 0, 2, 1]), all_predictions)
    assert table.network.tolist() == ["mlp", "mlp"]
    assert table.validation_accuracy.tolist() == [0.95, 1]
    assert table.test_titles.tolist() == [3, 0]
    assert table.test_share.tolist() == [0.75, 0]
    assert table.test_accuracy.fillna(-1).tolist() == [2 / 3, -1]
