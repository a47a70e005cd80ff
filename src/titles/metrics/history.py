"""The metrics of each epoch of a training, and history.csv, which stores them."""

import csv
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class EpochMetrics:
    """The metrics of one epoch. They hold no times, so that equal runs write equal histories.

    `validation_standard_error` is the standard error of balanced accuracy, computed by
    `titles.metrics.classification.smoothed_standard_error`.
    """

    epoch: int
    learning_rate: float
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    validation_balanced_accuracy: float
    validation_standard_error: float


@dataclass(frozen=True)
class StepMetrics:
    """The metric measured within an epoch; `titles` counts the training titles seen so far in all epochs."""

    titles: int
    sampled_balanced_accuracy: float


def write_history(history: list[EpochMetrics], path: Path) -> None:
    """Write the history as CSV with one row per epoch. A loss of NaN becomes an empty cell."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(EpochMetrics)], lineterminator="\n")
        writer.writeheader()
        for epoch in history:
            writer.writerow({name: "" if math.isnan(value) else value for name, value in asdict(epoch).items()})
