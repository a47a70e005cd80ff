"""Tables of the predictions for the test titles: the CSV files of `results`, and those that only the report shows."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from titles.data.encoded_dataset import LabelledDataset
from titles.inference.predict import Predictions
from titles.metrics.classification import CALIBRATION_BINS, balanced_accuracy, confidence_bins, recall_per_category
from titles.metrics.thresholds import Threshold

MAX_CONFUSED_PAIRS = 25
COVERAGES = (0.5, 0.8, 0.9, 0.95, 1.0)
MAX_EXAMPLES = 3
# The lower bounds of the groups by the number of training titles of the category, and by the words of the title.
CATEGORY_SIZE_BINS, TITLE_LENGTH_BINS = (1, 10, 100, 1_000, 10_000), (1, 3, 5, 7, 9, 11, 13)


def result_tables(
    labels: NDArray[np.int32],
    all_predictions: dict[str, Predictions],
    categories: "pd.Index[str]",
    train_titles: NDArray[np.int64],
    thresholds_by_network: Mapping[str, Sequence[Threshold]],
) -> dict[str, pd.DataFrame]:
    """The tables of `results`, by the name of their file."""
    return {
        "recall_by_category": recall_by_category(labels, all_predictions, categories, train_titles),
        "sorted_recall": sorted_recall(labels, all_predictions),
        "confused_pairs": confused_pairs(labels, all_predictions["mean"].predicted_label, categories),
        "reliability": reliability(labels, all_predictions),
        "accuracy_by_coverage": accuracy_by_coverage(labels, all_predictions),
        "thresholds": thresholds(thresholds_by_network, labels, all_predictions),
    }


def recall_by_category(
    labels: NDArray[np.int32],
    all_predictions: dict[str, Predictions],
    categories: "pd.Index[str]",
    train_titles: NDArray[np.int64],
) -> pd.DataFrame:
    """The recall of every category that has test titles, the lowest first.

    train_titles  int64 [categories], the number of titles of each category that the networks were trained on
    """
    test_titles = np.bincount(labels, minlength=len(categories))
    table = pd.DataFrame({"category": categories, "train_titles": train_titles, "test_titles": test_titles})
    for name, predictions in all_predictions.items():
        table[name] = recall_per_category(labels, predictions.predicted_label, len(categories))
    return table[table.test_titles > 0].sort_values(["mean", "category"])


def sorted_recall(labels: NDArray[np.int32], all_predictions: dict[str, Predictions]) -> pd.DataFrame:
    """The recalls of each network in ascending order; `share` is the share of categories with at most that recall."""
    recalls = {
        name: np.sort(recall_per_category(labels, predictions.predicted_label, labels.max() + 1))
        for name, predictions in all_predictions.items()
    }
    table = pd.DataFrame(recalls).dropna()
    table.insert(0, "share", (np.arange(len(table)) + 1) / len(table))
    return table


def confused_pairs(
    labels: NDArray[np.int32], predicted: NDArray[np.int64], categories: "pd.Index[str]"
) -> pd.DataFrame:
    """The most frequent pairs of true and predicted category; `share` is of the titles of the true category."""
    titles = pd.DataFrame({"category": categories[labels], "predicted_category": categories[predicted]})
    sizes = titles.category.value_counts()
    misclassified = titles[titles.category != titles.predicted_category]
    pairs = misclassified.value_counts().reset_index(name="titles")
    pairs["share"] = pairs.titles / pairs.category.map(sizes).astype(float)
    pairs["pair"] = pairs.category + " → " + pairs.predicted_category
    return pairs.sort_values(["titles", "share", "pair"], ascending=[False, False, True]).head(MAX_CONFUSED_PAIRS)


def mistakes(
    pairs: pd.DataFrame,
    labels: NDArray[np.int32],
    predictions: Predictions,
    titles: "pd.Series[str]",
    categories: "pd.Index[str]",
) -> pd.DataFrame:
    """Up to `MAX_EXAMPLES` titles of each confused pair with their confidence, the most confident mistakes first."""
    misclassified = np.flatnonzero(predictions.predicted_label != labels)
    rows = misclassified[np.argsort(-predictions.confidence[misclassified], kind="stable")]
    pair = ["category", "predicted_category"]
    table = pd.DataFrame(
        {"category": categories[labels[rows]], "predicted_category": categories[predictions.predicted_label[rows]]}
    )
    table["row"] = rows
    table = table.merge(pairs[pair]).groupby(pair).head(MAX_EXAMPLES).reset_index(drop=True)
    return table.assign(title=titles.iloc[table.row].array, confidence=predictions.confidence[table.row])


def metrics_by_attribute(
    test: LabelledDataset,
    all_predictions: dict[str, Predictions],
    titles: pd.DataFrame,
    train_titles: NDArray[np.int64],
) -> dict[str, pd.DataFrame]:
    """`metrics_by_group` for each attribute of a title that may make it easy or hard to classify."""
    attributes = {
        "language": titles.language,
        "label_quality": titles.label_quality,
        "category_size": assign_bins(train_titles[test.labels], CATEGORY_SIZE_BINS),
        "title_length": assign_bins(np.diff(test.titles.offsets), TITLE_LENGTH_BINS),
    }
    return {name: metrics_by_group(test.labels, all_predictions, groups) for name, groups in attributes.items()}


def assign_bins(values: NDArray[np.integer], edges: Sequence[int]) -> "pd.Series[str]":
    """The bin of each value: with `edges` 1, 3, 5 one of "0", "1–2", "3–4" and "5 or more", as ordered categories."""
    names = ["0", *(f"{first:,}–{after - 1:,}" for first, after in pairwise(edges)), f"{edges[-1]:,} or more"]
    return pd.Series(pd.cut(values, [0, *edges, np.inf], right=False, labels=names))


def metrics_by_group(
    labels: NDArray[np.int32], all_predictions: dict[str, Predictions], groups: "pd.Series[str]"
) -> pd.DataFrame:
    """For each group of titles: its titles, its categories, and the balanced accuracy and accuracy of each network.

    The index is the name of the group. Balanced accuracy is over the categories of the group's titles.
    """
    table = {}
    for group, rows in groups.groupby(groups, observed=True).indices.items():
        true = labels[rows]
        metrics: dict[str, float] = {"titles": len(rows), "categories": len(np.unique(true))}
        for name, predictions in all_predictions.items():
            predicted = predictions.predicted_label[rows]
            metrics[f"{name}_balanced_accuracy"] = balanced_accuracy(true, predicted)
            metrics[f"{name}_accuracy"] = float((predicted == true).mean())
        table[str(group)] = metrics
    return pd.DataFrame.from_dict(table, orient="index")


def reliability(labels: NDArray[np.int32], all_predictions: dict[str, Predictions]) -> pd.DataFrame:
    """The accuracy of each network in each bin of the expected calibration error; `confidence` is the bin's middle.

    NaN for a bin without titles.
    """
    table = pd.DataFrame({"confidence": (np.arange(CALIBRATION_BINS) + 0.5) / CALIBRATION_BINS})
    for name, predictions in all_predictions.items():
        is_correct = pd.Series(predictions.predicted_label == labels)
        table[name] = is_correct.groupby(confidence_bins(predictions.confidence)).mean().reindex(table.index)
    return table


def accuracy_by_coverage(labels: NDArray[np.int32], all_predictions: dict[str, Predictions]) -> pd.DataFrame:
    """The accuracy of each network on the titles of highest confidence, and the lowest confidence among them.

    `share` is the coverage: the share of the titles.
    """
    table = pd.DataFrame({"share": COVERAGES})
    for name, predictions in all_predictions.items():
        order = np.argsort(-predictions.confidence, kind="stable")
        counts = np.maximum(1, (table.share * len(labels)).astype(int))
        num_correct = (predictions.predicted_label == labels)[order].cumsum()
        table[f"{name}_accuracy"] = num_correct[counts - 1] / counts
        table[f"{name}_confidence"] = predictions.confidence[order][counts - 1]
    return table


def thresholds(
    thresholds_by_network: Mapping[str, Sequence[Threshold]],
    labels: NDArray[np.int32],
    all_predictions: dict[str, Predictions],
) -> pd.DataFrame:
    """The thresholds of each network: titles, share and accuracy at or above the score, on validation and on test."""
    columns = ["network", "accuracy", "confidence", "score"]
    columns += [f"{split}_{kind}" for split in ("validation", "test") for kind in ("titles", "share", "accuracy")]
    rows = []
    for name, of_network in thresholds_by_network.items():
        is_correct = all_predictions[name].predicted_label == labels
        for item in of_network:
            accepted = is_correct[all_predictions[name].confidence >= item.score]
            validation = (item.titles, item.share, item.correct / item.titles)
            test = (len(accepted), len(accepted) / len(labels), accepted.mean() if len(accepted) else np.nan)
            rows.append((name, item.accuracy, item.confidence, item.score, *validation, *test))
    return pd.DataFrame(rows, columns=columns)
