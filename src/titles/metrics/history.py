"""What is known after each epoch of a training, and the file it is kept in."""

import csv
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class EpochMetrics:
    """What is known after an epoch; no times, so that equal runs give equal histories.

    `validation_standard_error` is that of the balanced accuracy, see
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
    """What is known within an epoch, after so many titles of all epochs."""

    titles: int
    sampled_balanced_accuracy: float


def write_history(history: list[EpochMetrics], path: Path) -> None:
    """A CSV file with a row an epoch, for the learning curves; a loss that is NaN is empty."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(EpochMetrics)], lineterminator="\n")
        writer.writeheader()
        for epoch in history:
            writer.writerow({name: "" if math.isnan(value) else value for name, value in asdict(epoch).items()})
