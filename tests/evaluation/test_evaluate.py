import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from tests.evaluation.workspace import (
    HEADLINE,
    NAMES,
    PREDICTED,
    RECALLS,
    TEST,
    UNLABELLED,
    WORDS,
    Workspace,
    probabilities_of,
)
from tests.serving.page import Page
from titles.core.errors import InputError
from titles.metrics.classification import expected_calibration_error
from titles.persistence.model_folder import load

each_network = pytest.mark.parametrize("name", NAMES)


def test_the_folders_hold_the_documented_files_and_nothing_else(workspace):
    assert sorted(path.name for path in (workspace.root / "results").iterdir()) == [
        "accuracy_by_coverage.csv",
        "cnn_history.csv",
        "confused_pairs.csv",
        "metrics.json",
        "mlp_history.csv",
        "recall_by_category.csv",
        "reliability.csv",
        "report.html",
        "sorted_recall.csv",
        "thresholds.csv",
    ]
    assert [path.name for path in (workspace.root / "predicted").iterdir()] == ["test.parquet"]


def test_the_metrics_of_both_networks_and_their_mean_are_written_and_returned(workspace):
    written = json.loads((workspace.root / "results" / "metrics.json").read_text())
    assert written == workspace.metrics
    assert list(written) == NAMES
    assert [list(metrics) for metrics in written.values()] == [
        [
            "balanced_accuracy",
            "accuracy",
            "top5_accuracy",
            "macro_f1",
            "log_loss",
            "expected_calibration_error",
            "expected_calibration_error_uncalibrated",
            "balanced_accuracy_by_language",
            "balanced_accuracy_by_label_quality",
        ]
    ] * 3


@each_network
def test_every_metric_is_the_one_counted_by_hand(workspace, name):
    # HOME, SHOES and TOOLS are predicted for 3, 5 and 2 titles; ANIMALS, which train lacks, for none.
    f1 = [2 * 3 / (5 + 3), 2 * 2 / (2 + 5), 2 * 1 / (2 + 2), 0]
    expected = {
        "balanced_accuracy": np.mean(list(RECALLS.values())),
        "accuracy": 6 / 10,
        "top5_accuracy": 9 / 10,
        "macro_f1": np.mean(f1),
    }
    found = {key: workspace.metrics[name][key] for key in expected}
    assert found == pytest.approx(expected, abs=1e-6)


@each_network
def test_balanced_accuracy_and_f1_are_those_of_scikit_learn(workspace, name):
    true, predicted = workspace.predicted.category, workspace.predicted[name]
    assert workspace.metrics[name]["balanced_accuracy"] == pytest.approx(
        balanced_accuracy_score(true, predicted), abs=1e-6
    )
    macro_f1 = f1_score(true, predicted, average="macro", zero_division=0)
    assert workspace.metrics[name]["macro_f1"] == pytest.approx(macro_f1, abs=1e-6)


@each_network
@pytest.mark.parametrize("column", ["language", "label_quality"])
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_balanced_accuracy_of_a_group_is_over_the_categories_of_its_titles(workspace, name, column):
    expected = {
        group: pytest.approx(balanced_accuracy_score(rows.category, rows[name]), abs=1e-6)
        for group, rows in workspace.predicted.groupby(column)
    }
    assert len(expected) == 2
    assert workspace.metrics[name][f"balanced_accuracy_by_{column}"] == expected


@each_network
def test_the_loss_is_over_the_titles_whose_category_train_has(workspace, name):
    rows = workspace.predicted[workspace.predicted.category != "ANIMALS"]
    probabilities = probabilities_of(workspace, rows.title, name)
    of_true = probabilities[np.arange(len(rows)), [sorted(WORDS).index(category) for category in rows.category]]
    expected = -np.log(np.maximum(of_true, np.finfo(np.float32).tiny)).mean()
    assert workspace.metrics[name]["log_loss"] == pytest.approx(expected, abs=1e-4)


def test_two_runs_write_the_same_bytes(workspace):
    def contents(run):
        workspace.evaluate(f"results_{run}", f"predicted_{run}")
        folders = [workspace.root / f"results_{run}", workspace.root / f"predicted_{run}"]
        return {path.name: path.read_bytes() for folder in folders for path in folder.iterdir()}

    assert contents("first") == contents("again")


def test_the_metrics_do_not_depend_on_the_number_of_batches(workspace, tmp_path):
    often = Workspace(tmp_path, test=TEST * 250)
    found = often.evaluate()
    for name in NAMES:
        assert found[name].pop("log_loss") == pytest.approx(workspace.metrics[name]["log_loss"], abs=1e-4)
        assert found[name] == {key: value for key, value in workspace.metrics[name].items() if key != "log_loss"}
    assert often.predicted["mean"].tolist() == PREDICTED * 250


def test_the_unknown_language_is_a_group(tmp_path):
    metrics = Workspace(
        tmp_path, test=[(title, category, "unknown", "unknown") for title, category, *_ in TEST]
    ).evaluate()
    assert metrics["mlp"]["balanced_accuracy_by_language"] == {"unknown": metrics["mlp"]["balanced_accuracy"]}
    assert metrics["mlp"]["balanced_accuracy_by_label_quality"] == {"unknown": metrics["mlp"]["balanced_accuracy"]}


def test_untrained_categories_alone_score_zero_and_have_no_log_loss(tmp_path, caplog):
    caplog.set_level("INFO", logger="titles.evaluation.evaluate")
    metrics = Workspace(tmp_path, test=[("sierra", "ANIMALS", "spanish", "reliable")]).evaluate()
    assert [metrics[name]["balanced_accuracy"] for name in NAMES] == [0, 0, 0]
    assert not any("log_loss" in metrics[name] for name in NAMES)
    assert "NaN" not in (tmp_path / "results" / "metrics.json").read_text()
    headline = Page((tmp_path / "results" / "report.html").read_text()).tables[HEADLINE]
    assert [row[1:] for row in headline if row[0].startswith("Log loss")] == [["–"] * 3]
    message = "1 of 1 test titles are of categories that train lacks: they count as wrong, and there is no log loss"
    assert message in caplog.messages


def test_titles_of_untrained_categories_are_counted_in_the_log(tmp_path, caplog):
    caplog.set_level("INFO", logger="titles.evaluation.evaluate")
    Workspace(tmp_path).evaluate()
    message = (
        "1 of 10 test titles are of categories that train lacks: they count as wrong, and log loss is over the others"
    )
    assert message in caplog.messages


def test_inputs_of_different_runs_raise_an_error(tmp_path):
    workspace = Workspace(tmp_path)
    titles = pd.read_parquet(workspace.prepared / "test.parquet")
    titles[1:].to_parquet(workspace.prepared / "test.parquet")
    with pytest.raises(InputError, match=r"prepared has 9 test titles and .*embedded has 10; run the stages embed and"):
        workspace.evaluate()
    titles.to_parquet(workspace.prepared / "test.parquet")
    vocabulary = tmp_path / "cnn" / "vocabulary.json"
    vocabulary.write_text(vocabulary.read_text().replace("HOME", "HOUSE"))
    with pytest.raises(InputError, match=r"cnn has other words or categories than .*; run the stage train_cnn again"):
        workspace.evaluate()
    vocabulary.unlink()
    with pytest.raises(InputError, match=r"vocabulary\.json is not there; run the stage train_cnn to its end first"):
        workspace.evaluate()
    assert not (tmp_path / "results").exists()


def test_unlabelled_titles_become_a_submission_in_the_order_of_their_file(tmp_path):
    submitting = Workspace(tmp_path, unlabelled=UNLABELLED)
    submitting.evaluate()
    assert (tmp_path / "predicted" / "submission.csv").read_text() == (
        "id,category\n10,BOOKS\n9,TOOLS\n007,SHOES\nb,HOME\na,BOOKS\n"
    )
    (submitting.prepared / "unlabelled.parquet").unlink()
    submitting.evaluate()
    assert [path.name for path in (tmp_path / "predicted").iterdir()] == ["test.parquet"]


@each_network
def test_calibration_changes_the_calibration_error(workspace, name):
    network = load(workspace.root / "mlp")[0]
    assert network.temperature != 1
    right = (workspace.predicted[name] == workspace.predicted.category).to_numpy()
    probabilities = probabilities_of(workspace, workspace.predicted.title, name).max(1)
    found = workspace.metrics[name]
    assert found["expected_calibration_error"] == pytest.approx(
        expected_calibration_error(right, probabilities), abs=1e-4
    )
    assert found["expected_calibration_error_uncalibrated"] != found["expected_calibration_error"]
