"""What the networks, and the mean of their probabilities, are worth on the test titles.

metrics.json             of each network, balanced accuracy first
recall_by_category.csv   every category, the worst first
sorted_recall.csv         the recalls of each network in ascending order
confused_pairs.csv       which categories are most often taken for which
reliability.csv          how often a network is right when it is that sure
accuracy_by_coverage.csv           how often it is right on the titles it is surest of, and how sure it is of all of these
thresholds.csv           the thresholds of each network and of the mean, and what is true of them on the test titles
NAME_history.csv         how each network was trained, a row an epoch
report.html              all of this, and examples, for who must decide whether to trust it
"""

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from titles.core.atomic_directory import recreate_dir, require_output
from titles.core.errors import InputError
from titles.core.memory import raise_malloc_thresholds
from titles.data.encoded_dataset import LabelledDataset, Vocabulary
from titles.data.ragged import Ragged
from titles.evaluation import tables
from titles.evaluation.report import Report, load_histories, summarize_rejected, summarize_splits
from titles.inference.predict import Predictions, predict, predict_ensemble
from titles.metrics.classification import balanced_accuracy, expected_calibration_error
from titles.metrics.thresholds import Threshold, select_thresholds
from titles.nn.decision import decision_weights
from titles.nn.device import chosen_device
from titles.nn.networks import Network
from titles.persistence.model_folder import load, training_objective

log = logging.getLogger(__name__)

Metrics = dict[str, "float | dict[str, float]"]

DECIMALS = 6
# Enough to tell what calibration does; the order of test titles is random.
SAMPLE_TITLES = 50_000
# Where the classes begin of the training titles a category has, and of the words a title has.
CATEGORY_SIZE_BINS, TITLE_LENGTH_BINS = (1, 10, 100, 1_000, 10_000), (1, 3, 5, 7, 9, 11, 13)


def evaluate(
    models: dict[str, Path], prepared: Path, embedded: Path, results: Path, predicted: Path
) -> dict[str, Metrics]:
    """Writes `results` and `predicted`, returns the content of metrics.json.

    `predicted` gets every test title with the category each network gives it, and submission.csv for unlabelled titles.
    """
    _check_inputs(models, prepared, embedded)
    raise_malloc_thresholds()
    device = chosen_device()
    networks = {name: load(folder)[0].to(device) for name, folder in models.items()}
    lexicon = Vocabulary.load(embedded)
    weights = decision_weights(lexicon, training_objective(models.values()))
    # Of millions of titles the category's name takes less memory in Arrow than in NumPy.
    categories = pd.Index(lexicon.categories, dtype="str")
    spelling = Ragged.load(embedded, "subword_ids")
    test, training = (LabelledDataset.load(embedded, split) for split in ("test", "train"))
    _log_untrained(test, lexicon)
    said = predict(networks, test, spelling, weights)
    validation = LabelledDataset.load(embedded, "validation")
    found = _collect_thresholds(models, networks, validation, spelling, weights)
    submitted = None
    if (prepared / "unlabelled.parquet").exists():
        submitted = predict_ensemble(networks, Ragged.load(embedded, "unlabelled"), spelling, weights)
    some = test.take(np.arange(min(len(test), SAMPLE_TITLES)))
    for network in networks.values():
        network.reset_calibration(torch.from_numpy(lexicon.log_shares))
    uncalibrated = predict(networks, some, spelling, weights)
    sizes = np.bincount(training.labels, minlength=len(categories))
    titles = pd.read_parquet(prepared / "test.parquet")
    by_group = _metrics_by_group(test, said, titles, sizes)
    metrics = {name: _network_metrics(name, test.labels, said[name], uncalibrated[name], by_group) for name in said}
    for name, of_network in metrics.items():
        log.info("%s: balanced accuracy %.4f", name, of_network["balanced_accuracy"])
    written = _result_tables(test.labels, said, categories, sizes) | {
        "thresholds": tables.thresholds(found, test.labels, said)
    }
    _write_results(results, models, metrics, written)
    Report(
        splits=summarize_splits(prepared, embedded, sizes),
        metrics=metrics,
        histories=load_histories(models),
        **written,
        mistakes=tables.mistakes(written["confused_pairs"], test.labels, said["mean"], titles.title, categories),
        groups=by_group,
        rejected=summarize_rejected(prepared),
    ).write(results / "report.html")
    for name in said:
        titles[name] = categories[said[name].predicted_label]
    titles.assign(confidence=said["mean"].confidence).to_parquet(recreate_dir(predicted) / "test.parquet")
    if submitted is not None:
        ids = pd.read_parquet(prepared / "unlabelled.parquet", columns=["id"]).id
        answers = pd.DataFrame({"id": ids, "category": categories[submitted]})
        answers.to_csv(predicted / "submission.csv", index=False)
    return metrics


def _check_inputs(models: dict[str, Path], prepared: Path, embedded: Path) -> None:
    """Raise InputError where one of them is not made from what the others are made from."""
    rows = pq.read_metadata(require_output(prepared / "test.parquet", "prepare")).num_rows
    titles = len(LabelledDataset.load(embedded, "test"))
    if rows != titles:
        raise InputError(
            f"{prepared} has {rows:,} test titles and {embedded} has {titles:,}; run the stages embed and train_* again"
        )
    lexicon = (embedded / "vocabulary.json").read_bytes()
    for name, folder in models.items():
        if require_output(folder / "vocabulary.json", f"train_{name}").read_bytes() != lexicon:
            raise InputError(
                f"{folder} has other words or categories than {embedded}; run the stage train_{name} again"
            )


def _log_untrained(test: LabelledDataset, lexicon: Vocabulary) -> None:
    untrained = np.count_nonzero(test.labels >= lexicon.num_trained_categories)
    loss = "log loss is over the others" if untrained < len(test) else "there is no log loss"
    if untrained:
        counts = f"{untrained:,} of {len(test):,}"
        log.info("%s test titles are of categories that train lacks: they count as wrong, and %s", counts, loss)


def _metrics_by_group(
    test: LabelledDataset, all_predictions: dict[str, Predictions], titles: pd.DataFrame, sizes: NDArray[np.int64]
) -> dict[str, pd.DataFrame]:
    """`tables.by_group` by all that may make a title easy or hard."""
    groups = {
        "language": titles.language,
        "label_quality": titles.label_quality,
        "category_size": tables.assign_bins(sizes[test.labels], CATEGORY_SIZE_BINS),
        "title_length": tables.assign_bins(np.diff(test.titles.offsets), TITLE_LENGTH_BINS),
    }
    return {
        name: tables.metrics_by_group(test.labels, all_predictions, of_titles) for name, of_titles in groups.items()
    }


def _network_metrics(
    name: str,
    labels: NDArray[np.int32],
    network_predictions: Predictions,
    uncalibrated: Predictions,
    by_group: dict[str, pd.DataFrame],
) -> Metrics:
    """The loss is over the titles whose category train has, and left out where none has one; all else is over all."""
    of_trained = network_predictions.true_probability[~np.isnan(network_predictions.true_probability)]
    metrics: Metrics = {
        "balanced_accuracy": balanced_accuracy(labels, network_predictions.predicted_label),
        "accuracy": float((network_predictions.predicted_label == labels).mean()),
        "top5_accuracy": float(network_predictions.in_top_k.mean()),
        "macro_f1": float(
            f1_score(
                labels, network_predictions.predicted_label, average="macro", labels=np.unique(labels), zero_division=0
            )
        ),
    }
    if len(of_trained):
        losses = -np.log(np.maximum(of_trained, np.finfo(np.float32).tiny), dtype=np.float64)
        metrics["log_loss"] = float(losses.mean())
    metrics["expected_calibration_error"] = expected_calibration_error(
        labels == network_predictions.predicted_label, network_predictions.confidence
    )
    metrics["expected_calibration_error_uncalibrated"] = expected_calibration_error(
        labels[: len(uncalibrated.predicted_label)] == uncalibrated.predicted_label, uncalibrated.confidence
    )
    for column in ("language", "label_quality"):
        of_groups = by_group[column][f"{name}_balanced_accuracy"].round(DECIMALS)
        metrics[f"balanced_accuracy_by_{column}"] = {str(group): value for group, value in of_groups.items()}
    return {key: round(value, DECIMALS) if isinstance(value, float) else value for key, value in metrics.items()}


def _result_tables(
    labels: NDArray[np.int32],
    all_predictions: dict[str, Predictions],
    categories: "pd.Index[str]",
    sizes: NDArray[np.int64],
) -> dict[str, pd.DataFrame]:
    return {
        "recall_by_category": tables.recall_by_category(labels, all_predictions, categories, sizes),
        "sorted_recall": tables.sorted_recall(labels, all_predictions),
        "confused_pairs": tables.confused_pairs(labels, all_predictions["mean"].predicted_label, categories),
        "reliability": tables.reliability(labels, all_predictions),
        "accuracy_by_coverage": tables.accuracy_by_coverage(labels, all_predictions),
    }


def _collect_thresholds(
    models: dict[str, Path],
    networks: dict[str, Network],
    validation: LabelledDataset,
    subword_ids: Ragged,
    weights: NDArray[np.float32],
) -> dict[str, list[Threshold]]:
    """Those of each network, which are in its folder, and those of the mean, by a sample of the validation titles."""
    found = {}
    for name, folder in models.items():
        description = json.loads((folder / "network.json").read_text(encoding="utf-8"))
        found[name] = [Threshold(**one) for one in description["thresholds"]]
    some = validation.take(np.arange(min(len(validation), SAMPLE_TITLES)))
    of_mean = predict(networks, some, subword_ids, weights)["mean"]
    return found | {"mean": select_thresholds(of_mean.predicted_label == some.labels, of_mean.confidence)}


def _write_results(
    results: Path, models: dict[str, Path], metrics: dict[str, Metrics], result_tables: dict[str, pd.DataFrame]
) -> None:
    """Writes what of `results` is text to compare."""
    results.mkdir(parents=True, exist_ok=True)
    (results / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    for name, table in result_tables.items():
        table.round(DECIMALS).to_csv(results / f"{name}.csv", index=False, lineterminator="\n")
    for name, folder in models.items():
        shutil.copyfile(folder / "history.csv", results / f"{name}_history.csv")
