import json
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from tests.serving.page import Page
from titles.core.errors import InputError
from titles.evaluation.evaluate import evaluate
from titles.inference.classifier import Classifier
from titles.metrics.classification import CALIBRATION_BINS, expected_calibration_error
from titles.nn.hparams import CnnParams, MlpParams, ModelParams, TrainParams
from titles.persistence.model_folder import load
from titles.preprocessing.encode import EmbedParams, embed
from titles.preprocessing.prepare import REJECTED_COLUMNS
from titles.training.fit import fit

EMBED = EmbedParams(
    dimension=16,
    vocabulary_size=100_000,
    subword_min_n=4,
    subword_max_n=4,
    subword_buckets=997,
    bigrams=100,
    word_vectors="none",
)
MODEL = ModelParams("tanh", "trained", dropout=0.0, word_dropout=0.0, ensemble_size=2)
OWN = {"mlp": MlpParams(1, 16, 4), "cnn": CnnParams(16, 1, 2)}
TRAIN = TrainParams(0, 1, 2, 1, 2, 4, 0.02, 0.0, 0.0, False, "accuracy")
NAMES = ["mlp", "cnn", "mean"]
HEADLINE = "What each network, and their mean, is worth on test"

# Each word of train stands in one category alone, and often enough that one epoch makes both networks sure of it.
KNOWN = {"HOME": "mesa silla", "SHOES": "zapato bota", "TOOLS": "taladro sierra", "BOOKS": "libro novela"}
TRAINING = [(word, category) for category, words in KNOWN.items() for word in words.split()] * 40
TEST = [
    ("mesa", "HOME", "spanish", "reliable"),
    ("silla", "HOME", "spanish", "unreliable"),
    ("mesa silla", "HOME", "portuguese", "unreliable"),
    ("zapato", "HOME", "portuguese", "unreliable"),
    ("zapato zapato", "HOME", "spanish", "unreliable"),
    ("bota", "SHOES", "spanish", "reliable"),
    ("zapato bota", "SHOES", "portuguese", "unreliable"),
    ("bota bota", "TOOLS", "portuguese", "reliable"),
    ("taladro", "TOOLS", "spanish", "unreliable"),
    ("sierra", "ANIMALS", "spanish", "unreliable"),
]
PREDICTED = ["HOME"] * 3 + ["SHOES"] * 5 + ["TOOLS"] * 2
RECALLS = {"ANIMALS": 0, "HOME": 3 / 5, "SHOES": 1, "TOOLS": 1 / 2}
UNLABELLED = [("10", "libro"), ("9", "taladro"), ("007", "bota"), ("b", "silla"), ("a", "novela")]


class Work:
    """Prepared and embedded titles and two networks fitted to them."""

    def __init__(self, root, test=TEST, unlabelled=None):
        self.root = root
        self.prepared, self.embedded = root / "prepared", root / "embedded"
        self.write("reduced", "train", [(*row, "spanish", "reliable") for row in TRAINING])
        self.write("prepared", "train", [(*row, "spanish", "reliable") for row in TRAINING])
        self.write("prepared", "validation", [(*row, "spanish", "reliable") for row in TRAINING[:80]])
        self.write("prepared", "test", test)
        rejected = pd.DataFrame([("train.csv", 7, "duplicate title", "Bota", "SHOES")], columns=REJECTED_COLUMNS)
        rejected.to_parquet(self.prepared / "rejected.parquet")
        if unlabelled:
            table = pd.DataFrame(unlabelled, columns=["id", "title"])
            table.assign(cleaned=table.title, language="unknown").to_parquet(self.prepared / "unlabelled.parquet")
        (self.prepared / "sources.csv").write_text("file,split,bytes,md5\n")
        vectors = root / "vectors.npy"
        embed(self.prepared, root / "reduced", root / "word_vectors", self.embedded, vectors, EMBED)
        for name, own in OWN.items():
            fit(name, self.embedded, vectors, root / name, MODEL, own, TRAIN)

    def write(self, folder, split, rows):
        (self.root / folder).mkdir(exist_ok=True)
        table = pd.DataFrame(rows, columns=["title", "category", "language", "label_quality"])
        table.assign(cleaned=table.title).to_parquet(self.root / folder / f"{split}.parquet")

    def evaluate(self, results="results", predicted="predicted"):
        models = {name: self.root / name for name in OWN}
        return evaluate(models, self.prepared, self.embedded, self.root / results, self.root / predicted)

    def table(self, name):
        return pd.read_csv(self.root / "results" / f"{name}.csv")

    @property
    def predicted(self):
        return pd.read_parquet(self.root / "predicted" / "test.parquet")


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    made = Work(tmp_path_factory.mktemp("work"))
    made.metrics = made.evaluate()
    return made


def probabilities_of(work, titles, name):
    """[titles, categories in alphabetical order], as the classifier of that name gives them."""
    if name == "mean":
        return np.mean([probabilities_of(work, titles, network) for network in OWN], axis=0)
    found = Classifier.load(work.root / name).predict(list(titles), top=4)
    ordered = found.assign(row=found.index // 4).sort_values(["row", "category"])
    probabilities = ordered.score.to_numpy(float).reshape(-1, 4)
    return probabilities / probabilities.sum(1, keepdims=True)


each_network = pytest.mark.parametrize("name", NAMES)


def test_the_folders_hold_what_the_module_says_and_nothing_else(work):
    assert sorted(path.name for path in (work.root / "results").iterdir()) == [
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
    assert [path.name for path in (work.root / "predicted").iterdir()] == ["test.parquet"]


def test_the_history_of_every_network_is_that_of_its_model_folder(work):
    trained = {name: (work.root / name / "history.csv").read_bytes() for name in OWN}
    assert {name: (work.root / "results" / f"{name}_history.csv").read_bytes() for name in OWN} == trained
    assert trained["mlp"] != trained["cnn"]


def test_the_metrics_are_written_as_they_are_returned_for_both_networks_and_their_mean(work):
    written = json.loads((work.root / "results" / "metrics.json").read_text())
    assert written == work.metrics
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
def test_the_predictions_stand_beside_the_test_titles_in_their_order(work, name):
    pd.testing.assert_frame_equal(
        work.predicted[["title", "category", "language", "label_quality"]],
        pd.DataFrame(TEST, columns=["title", "category", "language", "label_quality"]),
    )
    assert work.predicted[name].tolist() == PREDICTED


@each_network
def test_every_metric_is_the_one_counted_by_hand(work, name):
    # HOME, SHOES and TOOLS are given to 3, 5 and 2 titles; ANIMALS, which train lacks, to none.
    f1 = [2 * 3 / (5 + 3), 2 * 2 / (2 + 5), 2 * 1 / (2 + 2), 0]
    expected = {
        "balanced_accuracy": np.mean(list(RECALLS.values())),
        "accuracy": 6 / 10,
        "top5_accuracy": 9 / 10,
        "macro_f1": np.mean(f1),
    }
    found = {key: work.metrics[name][key] for key in expected}
    assert found == pytest.approx(expected, abs=1e-6)


@each_network
def test_balanced_accuracy_and_f1_are_those_of_scikit_learn(work, name):
    true, predicted = work.predicted.category, work.predicted[name]
    assert work.metrics[name]["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(true, predicted), abs=1e-6)
    macro_f1 = f1_score(true, predicted, average="macro", zero_division=0)
    assert work.metrics[name]["macro_f1"] == pytest.approx(macro_f1, abs=1e-6)


@each_network
@pytest.mark.parametrize("column", ["language", "label_quality"])
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_balanced_accuracy_of_a_group_is_over_the_categories_of_its_titles(work, name, column):
    expected = {
        group: pytest.approx(balanced_accuracy_score(rows.category, rows[name]), abs=1e-6)
        for group, rows in work.predicted.groupby(column)
    }
    assert len(expected) == 2
    assert work.metrics[name][f"balanced_accuracy_by_{column}"] == expected


@each_network
def test_the_loss_is_over_the_titles_whose_category_train_has(work, name):
    rows = work.predicted[work.predicted.category != "ANIMALS"]
    probabilities = probabilities_of(work, rows.title, name)
    of_true = probabilities[np.arange(len(rows)), [sorted(KNOWN).index(category) for category in rows.category]]
    expected = -np.log(np.maximum(of_true, np.finfo(np.float32).tiny)).mean()
    assert work.metrics[name]["log_loss"] == pytest.approx(expected, abs=1e-4)


def test_thresholds_are_those_of_the_model_folders_and_the_mean_has_its_own(work):
    table = work.table("thresholds").set_index("network")
    for name in OWN:
        described = json.loads((work.root / name / "network.json").read_text())["thresholds"]
        assert table.loc[[name], ["accuracy", "score"]].values.tolist() == [
            [one["accuracy"], one["score"]] for one in described
        ]
    validation = [title for title, _ in TRAINING[:80]]
    surest = probabilities_of(work, validation, "mean").max(1)
    assert table.loc[["mean"], "validation_titles"].tolist() == [80]
    assert table.loc[["mean"], "score"].tolist() == pytest.approx([surest.min()], abs=1e-5)


def test_the_confidence_is_the_probability_of_the_category_the_mean_gives(work):
    probabilities = probabilities_of(work, work.predicted.title, "mean")
    np.testing.assert_allclose(work.predicted.confidence, probabilities.max(1), rtol=1e-5)
    assert work.predicted["mean"].tolist() == [sorted(KNOWN)[label] for label in probabilities.argmax(1)]


def test_the_recall_of_every_test_category_stands_worst_first(work):
    table = work.table("recall_by_category")
    assert list(table.columns) == ["category", "train_titles", "test_titles", *NAMES]
    assert table[["category", "train_titles", "test_titles"]].values.tolist() == [
        ["ANIMALS", 0, 1],
        ["TOOLS", 80, 2],
        ["HOME", 80, 5],
        ["SHOES", 80, 2],
    ]
    for name in NAMES:
        assert table[name].tolist() == [RECALLS[category] for category in table.category]


def test_the_recall_curve_rises_to_all_categories(work):
    table = work.table("sorted_recall")
    expected = [[0.25, 0, 0, 0], [0.5, 0.5, 0.5, 0.5], [0.75, 0.6, 0.6, 0.6], [1, 1, 1, 1]]
    assert (list(table.columns), table.values.tolist()) == (["share", *NAMES], expected)


def test_confused_pairs_count_titles_and_their_share_of_the_true_category(work):
    table = work.table("confused_pairs")
    assert list(table.columns) == ["category", "taken_for", "titles", "share", "pair"]
    assert table.values.tolist() == [
        ["HOME", "SHOES", 2, 2 / 5, "HOME → SHOES"],
        ["ANIMALS", "TOOLS", 1, 1.0, "ANIMALS → TOOLS"],
        ["TOOLS", "SHOES", 1, 1 / 2, "TOOLS → SHOES"],
    ]


def test_calibration_has_a_row_for_every_bin_of_the_expected_calibration_error(work):
    table = work.table("reliability")
    assert list(table.columns) == ["confidence", *NAMES]
    assert len(table) == CALIBRATION_BINS
    assert np.diff(table.confidence, prepend=-1 / 30, append=1 + 1 / 30) == pytest.approx(1 / 15, abs=1e-5)


def test_calibration_is_the_share_of_titles_that_are_right_when_a_network_is_that_sure(tmp_path):
    of_three = permutations(TRAINING[:8], 3)
    mixed = [
        (f"{one} {other} {third}", category, "spanish", "reliable")
        for (one, category), (other, _), (third, _) in of_three
    ]
    unsure = Work(tmp_path, test=mixed)
    metrics = unsure.evaluate()
    predicted, calibration = unsure.predicted, unsure.table("reliability")
    for name in NAMES:
        confidence = probabilities_of(unsure, predicted.title, name).max(1)
        is_right = predicted[name] == predicted.category
        bins = is_right.groupby(np.minimum(confidence * CALIBRATION_BINS // 1, CALIBRATION_BINS - 1))
        assert len(bins) > 2
        np.testing.assert_allclose(calibration[name], bins.mean().reindex(range(CALIBRATION_BINS)), atol=1e-6)
        # What the chart shows adds up to the number beside it.
        means = pd.Series(confidence).groupby(bins.ngroup()).mean().to_numpy()
        error = (np.abs(bins.mean().to_numpy() - means) * bins.size().to_numpy()).sum() / len(predicted)
        assert metrics[name]["expected_calibration_error"] == pytest.approx(error, abs=1e-5)


def test_two_runs_write_the_same_bytes(work):
    def contents(run):
        work.evaluate(f"results_{run}", f"predicted_{run}")
        folders = [work.root / f"results_{run}", work.root / f"predicted_{run}"]
        return {path.name: path.read_bytes() for folder in folders for path in folder.iterdir()}

    assert contents("first") == contents("again")


def test_more_test_titles_than_a_batch_measure_the_same(work, tmp_path):
    often = Work(tmp_path, test=TEST * 250)
    found = often.evaluate()
    for name in NAMES:
        assert found[name].pop("log_loss") == pytest.approx(work.metrics[name]["log_loss"], abs=1e-4)
        assert found[name] == {key: value for key, value in work.metrics[name].items() if key != "log_loss"}
    assert often.predicted["mean"].tolist() == PREDICTED * 250


def test_without_a_mistake_no_pair_is_confused(tmp_path):
    flawless = Work(tmp_path, test=[row for row, label in zip(TEST, PREDICTED, strict=True) if row[1] == label])
    metrics = flawless.evaluate()
    assert [metrics[name]["balanced_accuracy"] for name in NAMES] == [1, 1, 1]
    assert flawless.table("confused_pairs").empty
    assert len(flawless.table("reliability")) == CALIBRATION_BINS


def test_a_language_that_is_not_known_is_a_language_of_its_own(tmp_path):
    metrics = Work(tmp_path, test=[(title, category, "unknown", "unknown") for title, category, *_ in TEST]).evaluate()
    assert metrics["mlp"]["balanced_accuracy_by_language"] == {"unknown": metrics["mlp"]["balanced_accuracy"]}
    assert metrics["mlp"]["balanced_accuracy_by_label_quality"] == {"unknown": metrics["mlp"]["balanced_accuracy"]}


def test_a_test_of_untrained_categories_alone_scores_zero_and_has_no_loss(tmp_path, caplog):
    caplog.set_level("INFO", logger="titles.evaluation.evaluate")
    metrics = Work(tmp_path, test=[("sierra", "ANIMALS", "spanish", "reliable")]).evaluate()
    assert [metrics[name]["balanced_accuracy"] for name in NAMES] == [0, 0, 0]
    assert not any("log_loss" in metrics[name] for name in NAMES)
    assert "NaN" not in (tmp_path / "results" / "metrics.json").read_text()
    headline = Page((tmp_path / "results" / "report.html").read_text()).tables[HEADLINE]
    assert [row[1:] for row in headline if row[0].startswith("Log loss")] == [["–"] * 3]
    said = "1 of 1 test titles are of categories that train lacks: they count as wrong, and there is no log loss"
    assert said in caplog.messages


def test_titles_of_untrained_categories_are_counted_in_the_log(tmp_path, caplog):
    caplog.set_level("INFO", logger="titles.evaluation.evaluate")
    Work(tmp_path).evaluate()
    said = (
        "1 of 10 test titles are of categories that train lacks: they count as wrong, and log loss is over the others"
    )
    assert said in caplog.messages


def test_inputs_that_are_not_made_from_each_other_are_refused(tmp_path):
    work = Work(tmp_path)
    titles = pd.read_parquet(work.prepared / "test.parquet")
    titles[1:].to_parquet(work.prepared / "test.parquet")
    with pytest.raises(InputError, match=r"prepared has 9 test titles and .*embedded has 10; run the stages embed and"):
        work.evaluate()
    titles.to_parquet(work.prepared / "test.parquet")
    lexicon = tmp_path / "cnn" / "vocabulary.json"
    lexicon.write_text(lexicon.read_text().replace("HOME", "HOUSE"))
    with pytest.raises(InputError, match=r"cnn has other words or categories than .*; run the stage train_cnn again"):
        work.evaluate()
    lexicon.unlink()
    with pytest.raises(InputError, match=r"vocabulary\.json is not there; run the stage train_cnn to its end first"):
        work.evaluate()
    assert not (tmp_path / "results").exists()


def test_unlabelled_titles_become_a_submission_in_the_order_of_their_file(tmp_path):
    submitting = Work(tmp_path, unlabelled=UNLABELLED)
    submitting.evaluate()
    assert (tmp_path / "predicted" / "submission.csv").read_text() == (
        "id,category\n10,BOOKS\n9,TOOLS\n007,SHOES\nb,HOME\na,BOOKS\n"
    )
    (submitting.prepared / "unlabelled.parquet").unlink()
    submitting.evaluate()
    assert [path.name for path in (tmp_path / "predicted").iterdir()] == ["test.parquet"]


def test_the_surest_titles_stand_with_their_accuracy_and_the_least_confidence_among_them(tmp_path):
    unsure = Work(tmp_path, test=TEST * 2)
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


@each_network
def test_calibration_errors_tell_what_calibration_does(work, name):
    network = load(work.root / "mlp")[0]
    assert network.temperature != 1
    right = (work.predicted[name] == work.predicted.category).to_numpy()
    probabilities = probabilities_of(work, work.predicted.title, name).max(1)
    found = work.metrics[name]
    assert found["expected_calibration_error"] == pytest.approx(
        expected_calibration_error(right, probabilities), abs=1e-4
    )
    assert found["expected_calibration_error_uncalibrated"] != found["expected_calibration_error"]


def test_the_report_shows_what_was_run_and_what_came_out(work):
    page = Page((work.root / "results" / "report.html").read_text())
    assert page.tables["Rows and categories of each split"][1:] == [
        ["train", "320", "77.9 %", "4", "0"],
        ["validation", "80", "19.5 %", "4", "0"],
        ["test", "10", "2.4 %", "4", "1"],
        ["rejected", "1", "0.2 %", "", ""],
    ]
    headline = page.tables[HEADLINE]
    balanced = [f"{work.metrics[name]['balanced_accuracy']:.4f}" for name in NAMES]
    assert (headline[1][0].startswith("Balanced accuracy"), headline[1][1:]) == (True, balanced)
    pairs = page.tables["Pairs with the most mistakes of the mean, and those it was surest of"]
    assert [row[:3] for row in pairs[1:]] == [
        ["HOME→ SHOES", "2", "40.0 %"],
        ["ANIMALS→ TOOLS", "1", "100.0 %"],
        ["TOOLS→ SHOES", "1", "50.0 %"],
    ]
    assert pairs[2][3].endswith(" sierra")
    sizes = page.tables["By category size: how many titles of it the networks learned from"]
    assert [row[:3] for row in sizes[2:]] == [["0", "1", "1"], ["10–99", "9", "3"]]
    assert [row[:2] for row in page.tables["By title length"][2:]] == [["1–2", "10"]]
    (rejected,) = page.tables["Rejected rows by reason, with the first of each"][1:]
    assert rejected == ["duplicate title", "1", "0.2 %", "train.csv, line 7: Bota"]
