"""What networks said of the test titles, as the tables that `results` shows and those of the report."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from titles.inference.predict import Predictions
from titles.metrics.classification import CALIBRATION_BINS, balanced_accuracy, confidence_bins, recall_per_category
from titles.metrics.thresholds import Threshold

MAX_CONFUSED_PAIRS = 25
COVERAGES = (0.5, 0.8, 0.9, 0.95, 1.0)
MAX_EXAMPLES = 3


def recall_by_category(
    labels: NDArray[np.int32],
    all_predictions: dict[str, Predictions],
    categories: "pd.Index[str]",
    sizes: NDArray[np.int64],
) -> pd.DataFrame:
    """Every category that has test titles, the one with the lowest recall first; `sizes` are its `train_titles`."""
    rows = np.bincount(labels, minlength=len(categories))
    table = pd.DataFrame({"category": categories, "train_titles": sizes, "test_titles": rows})
    for name, predictions in all_predictions.items():
        table[name] = recall_per_category(labels, predictions.predicted_label, len(categories))
    return table[table.test_titles > 0].sort_values(["mean", "category"])


def sorted_recall(labels: NDArray[np.int32], all_predictions: dict[str, Predictions]) -> pd.DataFrame:
    """`share` of the categories have a recall of at most that."""
    curves = {
        name: np.sort(recall_per_category(labels, predictions.predicted_label, labels.max() + 1))
        for name, predictions in all_predictions.items()
    }
    table = pd.DataFrame(curves).dropna()
    table.insert(0, "share", (np.arange(len(table)) + 1) / len(table))
    return table


def confused_pairs(
    labels: NDArray[np.int32], predicted: NDArray[np.int64], categories: "pd.Index[str]"
) -> pd.DataFrame:
    """The pairs with the most titles; `share` is of the titles of the true category."""
    titles = pd.DataFrame({"category": categories[labels], "taken_for": categories[predicted]})
    sizes = titles.category.value_counts()
    wrong = titles[titles.category != titles.taken_for]
    pairs = wrong.value_counts().reset_index(name="titles")
    pairs["share"] = pairs.titles / pairs.category.map(sizes).astype(float)
    pairs["pair"] = pairs.category + " → " + pairs.taken_for
    return pairs.sort_values(["titles", "share", "pair"], ascending=[False, False, True]).head(MAX_CONFUSED_PAIRS)


def mistakes(
    pairs: pd.DataFrame,
    labels: NDArray[np.int32],
    predictions: Predictions,
    titles: "pd.Series[str]",
    categories: "pd.Index[str]",
) -> pd.DataFrame:
    """Of each confused pair up to `EXAMPLES` titles that were taken so, with the confidence, the surest first."""
    wrong = np.flatnonzero(predictions.predicted_label != labels)
    surest = wrong[np.argsort(-predictions.confidence[wrong], kind="stable")]
    pair = ["category", "taken_for"]
    table = pd.DataFrame(
        {"category": categories[labels[surest]], "taken_for": categories[predictions.predicted_label[surest]]}
    )
    table["row"] = surest
    table = table.merge(pairs[pair]).groupby(pair).head(MAX_EXAMPLES).reset_index(drop=True)
    return table.assign(title=titles.iloc[table.row].array, confidence=predictions.confidence[table.row])


def assign_bins(numbers: NDArray[np.integer], edges: Sequence[int]) -> "pd.Series[str]":
    """Which class each number is in: with `firsts` 1, 3, 5 one of "0", "1–2", "3–4" and "5 or more", in that order."""
    names = ["0", *(f"{first:,}–{after - 1:,}" for first, after in pairwise(edges)), f"{edges[-1]:,} or more"]
    return pd.Series(pd.cut(numbers, [0, *edges, np.inf], right=False, labels=names))


def metrics_by_group(
    labels: NDArray[np.int32], all_predictions: dict[str, Predictions], groups: "pd.Series[str]"
) -> pd.DataFrame:
    """Of each group of titles, by its name: how many they are, of how many categories, and both accuracies.

    Balanced accuracy is over the categories that titles of the group have.
    """
    table = {}
    for group, rows in groups.groupby(groups, observed=True).indices.items():
        true = labels[rows]
        worth: dict[str, float] = {"titles": len(rows), "categories": len(np.unique(true))}
        for name, predictions in all_predictions.items():
            best = predictions.predicted_label[rows]
            worth[f"{name}_balanced_accuracy"] = balanced_accuracy(true, best)
            worth[f"{name}_accuracy"] = float((best == true).mean())
        table[str(group)] = worth
    return pd.DataFrame.from_dict(table, orient="index")


def reliability(labels: NDArray[np.int32], all_predictions: dict[str, Predictions]) -> pd.DataFrame:
    """For each bin of the expected calibration error its middle, and the share of its titles that are right.

    Empty where no title is that sure.
    """
    table = pd.DataFrame({"confidence": (np.arange(CALIBRATION_BINS) + 0.5) / CALIBRATION_BINS})
    for name, predictions in all_predictions.items():
        right = pd.Series(predictions.predicted_label == labels).groupby(confidence_bins(predictions.confidence)).mean()
        table[name] = right.reindex(table.index)
    return table


def accuracy_by_coverage(labels: NDArray[np.int32], all_predictions: dict[str, Predictions]) -> pd.DataFrame:
    """Of each network: the accuracy on that share of the titles, its surest, and the least confidence among them."""
    table = pd.DataFrame({"share": COVERAGES})
    for name, predictions in all_predictions.items():
        surest = np.argsort(-predictions.confidence, kind="stable")
        counts = np.maximum(1, (table.share * len(labels)).astype(int))
        right = (predictions.predicted_label == labels)[surest].cumsum()
        table[f"{name}_accuracy"] = right[counts - 1] / counts
        table[f"{name}_confidence"] = predictions.confidence[surest][counts - 1]
    return table


def thresholds(
    thresholds_by_network: Mapping[str, Sequence[Threshold]],
    labels: NDArray[np.int32],
    all_predictions: dict[str, Predictions],
) -> pd.DataFrame:
    """Each threshold of each network, which validation titles gave, and what is true of it on the test titles."""
    columns = ["network", "accuracy", "confidence", "score"]
    columns += [f"{split}_{kind}" for split in ("validation", "test") for kind in ("titles", "share", "accuracy")]
    rows = []
    for name, of_network in thresholds_by_network.items():
        is_right = all_predictions[name].predicted_label == labels
        for one in of_network:
            reached = is_right[all_predictions[name].confidence >= one.score]
            validation = (one.titles, one.share, one.right / one.titles)
            test = (len(reached), len(reached) / len(labels), reached.mean() if len(reached) else np.nan)
            rows.append((name, one.accuracy, one.confidence, one.score, *validation, *test))
    return pd.DataFrame(rows, columns=columns)
