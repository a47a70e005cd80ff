"""Evaluate the networks, and the mean of their probabilities, on the test titles.

metrics.json              the metrics of each network and of the mean, balanced accuracy first
recall_by_category.csv    the recall of every test category, the lowest first
sorted_recall.csv         the recalls of each network in ascending order
confused_pairs.csv        the most frequent pairs of true and predicted category
reliability.csv           the accuracy of each network by confidence
accuracy_by_coverage.csv  the accuracy on the titles with the highest confidence, and the lowest confidence among them
thresholds.csv            the score thresholds of each network and of the mean, on validation and test titles
NAME_history.csv          the training history of each network, one row per epoch
report.html               all of these and examples of mistakes, as one page
"""

import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from titles.core.atomic_directory import recreate_dir, require_output
from titles.core.errors import InputError
from titles.core.memory import raise_malloc_thresholds
from titles.data.encoded_dataset import LabelledDataset, Vocabulary
from titles.data.ragged import Ragged
from titles.evaluation import tables
from titles.evaluation.network_metrics import DECIMALS, Metrics, network_metrics
from titles.evaluation.report import Report, load_histories, summarize_rejected, summarize_splits
from titles.inference.predict import Predictions, predict, predict_ensemble
from titles.metrics.thresholds import Threshold, select_thresholds
from titles.nn.decision import decision_weights
from titles.nn.device import chosen_device
from titles.nn.networks import Network
from titles.persistence.model_folder import load, training_objective

log = logging.getLogger(__name__)

# Enough for the thresholds and for the calibration error. The titles are in random order.
SAMPLE_TITLES = 50_000


def evaluate(
    models: dict[str, Path], prepared: Path, embedded: Path, results: Path, predicted: Path
) -> dict[str, Metrics]:
    """Write `results` and `predicted`, and return the content of metrics.json.

    `predicted` gets test.parquet, the test titles with the category that each network predicts. If there are unlabelled
    titles, it also gets submission.csv. Raise InputError if the inputs do not belong together.
    """
    _check_inputs(models, prepared, embedded)
    raise_malloc_thresholds()
    vocabulary, test = Vocabulary.load(embedded), LabelledDataset.load(embedded, "test")
    _log_untrained(test, vocabulary)
    outputs = _predict(models, embedded, vocabulary, test, (prepared / "unlabelled.parquet").exists())
    titles = pd.read_parquet(prepared / "test.parquet")
    # For millions of titles, category names take less memory in Arrow than in NumPy.
    categories = pd.Index(vocabulary.categories, dtype="str")
    train_titles = np.bincount(LabelledDataset.load(embedded, "train").labels, minlength=len(categories))
    groups = tables.metrics_by_attribute(test, outputs.test, titles, train_titles)
    metrics = {
        name: network_metrics(name, test.labels, predictions, outputs.uncalibrated[name], groups)
        for name, predictions in outputs.test.items()
    }
    for name, of_network in metrics.items():
        log.info("%s: balanced accuracy %.4f", name, of_network["balanced_accuracy"])
    result_tables = tables.result_tables(test.labels, outputs.test, categories, train_titles, outputs.thresholds)
    _write_results(results, models, metrics, result_tables)
    mistakes = tables.mistakes(
        result_tables["confused_pairs"], test.labels, outputs.test["mean"], titles.title, categories
    )
    Report(
        splits=summarize_splits(prepared, embedded, train_titles),
        metrics=metrics,
        histories=load_histories(models),
        mistakes=mistakes,
        groups=groups,
        rejected=summarize_rejected(prepared),
        **result_tables,
    ).write(results / "report.html")
    _write_predicted(predicted, prepared, titles, outputs, categories)
    return metrics


def _check_inputs(models: dict[str, Path], prepared: Path, embedded: Path) -> None:
    """Raise InputError if `prepared`, `embedded` and the model folders are not from the same run."""
    rows = pq.read_metadata(require_output(prepared / "test.parquet", "prepare")).num_rows
    titles = len(LabelledDataset.load(embedded, "test"))
    if rows != titles:
        raise InputError(
            f"{prepared} has {rows:,} test titles and {embedded} has {titles:,}; run the stages embed and train_* again"
        )
    vocabulary = (embedded / "vocabulary.json").read_bytes()
    for name, folder in models.items():
        if require_output(folder / "vocabulary.json", f"train_{name}").read_bytes() != vocabulary:
            raise InputError(
                f"{folder} has other words or categories than {embedded}; run the stage train_{name} again"
            )


def _log_untrained(test: LabelledDataset, vocabulary: Vocabulary) -> None:
    untrained = np.count_nonzero(test.labels >= vocabulary.num_trained_categories)
    loss = "log loss is over the others" if untrained < len(test) else "there is no log loss"
    if untrained:
        counts = f"{untrained:,} of {len(test):,}"
        log.info("%s test titles are of categories that train lacks: they count as wrong, and %s", counts, loss)


@dataclass(frozen=True)
class _Outputs:
    """Everything that the networks predict.

    test          the predictions of each network and of the mean for the test titles
    uncalibrated  the same without calibration, for the first `SAMPLE_TITLES` test titles
    thresholds    the score thresholds of each network and of the mean
    unlabelled    int64 [titles], the labels that the mean predicts for unlabelled titles; None if there are none
    """

    test: dict[str, Predictions]
    uncalibrated: dict[str, Predictions]
    thresholds: dict[str, list[Threshold]]
    unlabelled: NDArray[np.int64] | None


def _predict(
    models: dict[str, Path], embedded: Path, vocabulary: Vocabulary, test: LabelledDataset, has_unlabelled: bool
) -> _Outputs:
    device, subword_ids = chosen_device(), Ragged.load(embedded, "subword_ids")
    networks = {name: load(folder)[0].to(device) for name, folder in models.items()}
    weights = decision_weights(vocabulary, training_objective(models.values()))
    predictions = predict(networks, test, subword_ids, weights)
    validation = _sample(LabelledDataset.load(embedded, "validation"))
    thresholds = _thresholds(models, networks, validation, subword_ids, weights)
    unlabelled = None
    if has_unlabelled:
        unlabelled = predict_ensemble(networks, Ragged.load(embedded, "unlabelled"), subword_ids, weights)
    for network in networks.values():
        network.reset_calibration(torch.from_numpy(vocabulary.log_shares))
    uncalibrated = predict(networks, _sample(test), subword_ids, weights)
    return _Outputs(predictions, uncalibrated, thresholds, unlabelled)


def _thresholds(
    models: dict[str, Path],
    networks: dict[str, Network],
    validation: LabelledDataset,
    subword_ids: Ragged,
    weights: NDArray[np.float32],
) -> dict[str, list[Threshold]]:
    """Read the thresholds of each network from its model folder, and select those of the mean on validation titles."""
    thresholds = {}
    for name, folder in models.items():
        description = json.loads((folder / "network.json").read_text(encoding="utf-8"))
        thresholds[name] = [Threshold(**fields) for fields in description["thresholds"]]
    mean = predict(networks, validation, subword_ids, weights)["mean"]
    return thresholds | {"mean": select_thresholds(mean.predicted_label == validation.labels, mean.confidence)}


def _sample(titles: LabelledDataset) -> LabelledDataset:
    return titles.take(np.arange(min(len(titles), SAMPLE_TITLES)))


def _write_results(
    results: Path, models: dict[str, Path], metrics: dict[str, Metrics], result_tables: dict[str, pd.DataFrame]
) -> None:
    """Write metrics.json and the CSV files."""
    results.mkdir(parents=True, exist_ok=True)
    (results / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    for name, table in result_tables.items():
        table.round(DECIMALS).to_csv(results / f"{name}.csv", index=False, lineterminator="\n")
    for name, folder in models.items():
        shutil.copyfile(folder / "history.csv", results / f"{name}_history.csv")


def _write_predicted(
    predicted: Path, prepared: Path, titles: pd.DataFrame, outputs: _Outputs, categories: "pd.Index[str]"
) -> None:
    """Add the predictions to the test titles and write test.parquet; write submission.csv for unlabelled titles."""
    for name, predictions in outputs.test.items():
        titles[name] = categories[predictions.predicted_label]
    titles.assign(confidence=outputs.test["mean"].confidence).to_parquet(recreate_dir(predicted) / "test.parquet")
    if outputs.unlabelled is not None:
        ids = pd.read_parquet(prepared / "unlabelled.parquet", columns=["id"]).id
        submission = pd.DataFrame({"id": ids, "category": categories[outputs.unlabelled]})
        submission.to_csv(predicted / "submission.csv", index=False)
