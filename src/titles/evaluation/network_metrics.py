"""The metrics of metrics.json, for one network or for the mean of several."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from titles.inference.predict import Predictions
from titles.metrics.classification import balanced_accuracy, expected_calibration_error

Metrics = dict[str, "float | dict[str, float]"]

DECIMALS = 6


def network_metrics(
    name: str,
    labels: NDArray[np.int32],
    predictions: Predictions,
    uncalibrated: Predictions,
    by_attribute: dict[str, pd.DataFrame],
) -> Metrics:
    """Compute the metrics of the network `name`, rounded to `DECIMALS`.

    Titles of categories that train lacks have no log loss. If there are no others, the key is missing.

    labels        int32 [titles]
    uncalibrated  the predictions for the first titles, before calibration
    by_attribute  see `titles.evaluation.tables.metrics_by_attribute`
    """
    predicted = predictions.predicted_label
    macro_f1 = f1_score(labels, predicted, average="macro", labels=np.unique(labels), zero_division=0)
    metrics: Metrics = {
        "balanced_accuracy": balanced_accuracy(labels, predicted),
        "accuracy": float((predicted == labels).mean()),
        "top5_accuracy": float(predictions.in_top_k.mean()),
        "macro_f1": float(macro_f1),
    }
    true_probs = predictions.true_probability[~np.isnan(predictions.true_probability)]
    if len(true_probs):
        losses = -np.log(np.maximum(true_probs, np.finfo(np.float32).tiny), dtype=np.float64)
        metrics["log_loss"] = float(losses.mean())
    metrics["expected_calibration_error"] = expected_calibration_error(labels == predicted, predictions.confidence)
    metrics["expected_calibration_error_uncalibrated"] = expected_calibration_error(
        labels[: len(uncalibrated.predicted_label)] == uncalibrated.predicted_label, uncalibrated.confidence
    )
    for column in ("language", "label_quality"):
        by_group = by_attribute[column][f"{name}_balanced_accuracy"].round(DECIMALS)
        metrics[f"balanced_accuracy_by_{column}"] = {str(group): value for group, value in by_group.items()}
    return {key: round(value, DECIMALS) if isinstance(value, float) else value for key, value in metrics.items()}
