"""A report with few rows in every table."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from titles.evaluation.report import Report

NAMES = ["mlp", "cnn", "mean"]
METRICS = ["balanced_accuracy", "accuracy", "top5_accuracy", "macro_f1", "log_loss", "expected_calibration_error"]
EPOCH = ["network", "epoch", "is_best", "train_loss", "validation_loss", "validation_balanced_accuracy"]


def group(*titles_by_name: tuple[str, int]) -> pd.DataFrame:
    metrics = dict.fromkeys([f"{name}_{kind}" for name in NAMES for kind in ("accuracy", "balanced_accuracy")], 0.5)
    rows = {name: {"titles": titles, "categories": 2} | metrics for name, titles in titles_by_name}
    return pd.DataFrame.from_dict(rows, orient="index")


def report(**changed: Any) -> Report:
    """A small report; `title` is the example of a mistake and of a rejected row."""
    title = changed.pop("title", "zapato")
    shown: dict[str, Any] = {
        "splits": {
            "train": {"rows": 1500, "trained": 150, "categories": 2, "untrained": 0},
            "validation": {"rows": 100, "categories": 2, "untrained": 0},
            "test": {"rows": 300, "categories": 3, "untrained": 1},
            "rejected": {"rows": 100},
        },
        "metrics": {name: dict.fromkeys([*METRICS, "expected_calibration_error_uncalibrated"], 0.25) for name in NAMES},
        "histories": pd.DataFrame([["mlp", 1, True, 2.0, 1.0, 0.5], ["cnn", 1, True, 2.0, 1.0, 0.5]], columns=EPOCH),
        "sorted_recall": pd.DataFrame({"share": [0.5, 1.0], "mlp": [0, 1], "cnn": [0.5, 1], "mean": [0.25, 1]}),
        "recall_by_category": pd.DataFrame(
            [["HOME", 1234, 200, 0.5, 0.25, 0.0], ["SHOES", 7, 100, 1.0, 1.0, 1.0]],
            columns=["category", "train_titles", "test_titles", *NAMES],
        ),
        "confused_pairs": pd.DataFrame(
            {
                "category": ["HOME"],
                "predicted_category": ["SHOES"],
                "titles": [1],
                "share": [0.005],
                "pair": ["HOME → SHOES"],
            }
        ),
        "mistakes": pd.DataFrame(
            {"category": ["HOME"], "predicted_category": ["SHOES"], "row": [5], "title": [title], "confidence": [0.875]}
        ),
        "groups": {
            "language": group(("spanish", 300)),
            "label_quality": group(("reliable", 100), ("unreliable", 200)),
            "category_size": group(("0", 10), ("1–9", 290)),
            "title_length": group(("1–2", 300)),
        },
        "reliability": pd.DataFrame({"confidence": [0.05, 0.95], **{name: [np.nan, 0.9] for name in NAMES}}),
        "accuracy_by_coverage": pd.DataFrame(
            {"share": [0.5, 1.0]}
            | {f"{name}_{kind}": [1.0, 0.25] for name in NAMES for kind in ("accuracy", "confidence")}
        ),
        "thresholds": pd.DataFrame(
            [["mean", 0.9, 0.95, 0.25, 95, 0.95, 0.98, 270, 0.9, 0.97]],
            columns=["network", "accuracy", "confidence", "score"]
            + [f"{split}_{kind}" for split in ("validation", "test") for kind in ("titles", "share", "accuracy")],
        ),
        "rejected": [
            {"reason": "empty title", "rows": 2, "examples": [{"file": "train.csv", "line": 1234, "title": ""}]},
            {"reason": "duplicate title", "rows": 1, "examples": [{"file": "a.csv", "line": 3, "title": title}]},
        ],
    }
    return Report(**shown | changed)


def written(shown: Report, folder: Path) -> str:
    shown.write(folder / "report.html")
    return (folder / "report.html").read_text(encoding="utf-8")
