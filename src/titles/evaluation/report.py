"""results/report.html: the evaluation report, one file that opens offline."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from jinja2 import Environment, StrictUndefined
from numpy.typing import NDArray

from titles.data.encoded_dataset import LabelledDataset
from titles.evaluation import charts
from titles.evaluation.tables import MAX_EXAMPLES

TEMPLATE = Path(__file__).with_name("report.html.jinja")
# The reasons can be as many as the rejected rows, because some name details of the row.
MAX_REASONS = 20
MAX_TEXT_LENGTH = 200
# Control characters other than white space, which HTML does not allow.
CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Report:
    """The content of the page in its order: tables of this module and of `titles.evaluation.tables`."""

    splits: dict[str, dict[str, int]]
    metrics: Mapping[str, Mapping[str, object]]
    histories: pd.DataFrame
    sorted_recall: pd.DataFrame
    recall_by_category: pd.DataFrame
    confused_pairs: pd.DataFrame
    mistakes: pd.DataFrame
    groups: dict[str, pd.DataFrame]
    reliability: pd.DataFrame
    accuracy_by_coverage: pd.DataFrame
    thresholds: pd.DataFrame
    rejected: list[dict[str, Any]]

    def write(self, path: Path) -> None:
        environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
        environment.filters |= {"sanitize_text": sanitize_text, "records": lambda table: table.to_dict("records")}
        template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
        # The old file may be a link to DVC's cache, which must not be written to.
        path.unlink(missing_ok=True)
        path.write_text(template.render(vars(self), charts=charts), encoding="utf-8", newline="\n")


def sanitize_text(text: str) -> str:
    """Replace control characters, which HTML does not allow, and truncate long text."""
    shown = CONTROL_CHARACTERS.sub("\ufffd", text)
    return shown if len(shown) <= MAX_TEXT_LENGTH else f"{shown[:MAX_TEXT_LENGTH]}…"


def summarize_splits(prepared: Path, embedded: Path, train_titles: NDArray[np.int64]) -> dict[str, dict[str, int]]:
    """The `rows` and `categories` of each split, and its `untrained` categories; for train also the `trained` titles.

    train_titles  int64 [categories], the number of titles of each category that the networks were trained on
    """
    splits = {}
    for split in ("train", "validation", "test", "unlabelled", "rejected"):
        if (path := prepared / f"{split}.parquet").exists():
            splits[split] = {"rows": pq.read_metadata(path).num_rows}
    trained = int(train_titles.sum())
    splits["train"] |= {"categories": np.count_nonzero(train_titles), "untrained": 0, "trained": trained}
    for split in ("validation", "test"):
        labels = np.unique(LabelledDataset.load(embedded, split).labels)
        splits[split] |= {"categories": len(labels), "untrained": np.count_nonzero(train_titles[labels] == 0)}
    return splits


def load_histories(models: dict[str, Path]) -> pd.DataFrame:
    """Every epoch of every network; `is_best` marks the epoch from which the model has its weights."""
    tables = []
    for name, folder in models.items():
        best = json.loads((folder / "network.json").read_text(encoding="utf-8"))["epoch"]
        table = pd.read_csv(folder / "history.csv")
        tables.append(table.assign(network=name, is_best=table.epoch == best))
    return pd.concat(tables, ignore_index=True)


def summarize_rejected(prepared: Path) -> list[dict[str, Any]]:
    """The reasons for rejection, the most frequent first, with the number of `rows` and their first as `examples`."""
    parquet, columns = pq.ParquetFile(prepared / "rejected.parquet"), ["file", "line", "reason", "title"]
    rows: Counter[str] = Counter()
    firsts = [parquet.schema_arrow.empty_table().select(columns).to_pandas()]
    # In batches, because there may be millions of rows.
    for batch in parquet.iter_batches(columns=columns):
        table = batch.to_pandas()
        rows.update(table.reason.value_counts().to_dict())
        firsts.append(table.groupby("reason").head(MAX_EXAMPLES).fillna({"title": ""}))
    examples = pd.concat(firsts).groupby("reason").head(MAX_EXAMPLES)
    ordered = sorted(rows.items(), key=lambda item: (-item[1], item[0]))
    shown = [
        {"reason": reason, "rows": count, "examples": examples[examples.reason == reason].to_dict("records")}
        for reason, count in ordered[:MAX_REASONS]
    ]
    if others := sum(count for _, count in ordered[MAX_REASONS:]):
        shown.append({"reason": "other reasons", "rows": others, "examples": []})
    return shown
