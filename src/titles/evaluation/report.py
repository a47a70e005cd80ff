"""results/report.html: what one looks at before trusting the networks, in that order; one file that opens offline."""

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
# A broken row may have a reason that no other has.
MAX_REASONS = 20
MAX_TEXT_LENGTH = 200
# Control characters, but for white space; HTML has none.
CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Report:
    """What the page shows, in its order: tables of this module and of `titles.evaluation.tables`."""

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
        # What was there may be linked to DVC's cache.
        path.unlink(missing_ok=True)
        path.write_text(template.render(vars(self), charts=charts), encoding="utf-8", newline="\n")


def sanitize_text(text: str) -> str:
    """The text, of which HTML can show every letter, cut where it is very long."""
    shown = CONTROL_CHARACTERS.sub("\ufffd", text)
    return shown if len(shown) <= MAX_TEXT_LENGTH else f"{shown[:MAX_TEXT_LENGTH]}…"


def summarize_splits(prepared: Path, embedded: Path, sizes: NDArray[np.int64]) -> dict[str, dict[str, int]]:
    """The `rows` of each split, and its `categories`, of which so many are `unlearned`; of train those `learned`, too.

    `sizes` is how many titles of each category the networks learned from, [categories].
    """
    found = {}
    for split in ("train", "validation", "test", "unlabelled", "rejected"):
        if (path := prepared / f"{split}.parquet").exists():
            found[split] = {"rows": pq.read_metadata(path).num_rows}
    found["train"] |= {"categories": np.count_nonzero(sizes), "unlearned": 0, "learned": int(sizes.sum())}
    for split in ("validation", "test"):
        labels = np.unique(LabelledDataset.load(embedded, split).labels)
        found[split] |= {"categories": len(labels), "unlearned": np.count_nonzero(sizes[labels] == 0)}
    return found


def load_histories(models: dict[str, Path]) -> pd.DataFrame:
    """Every epoch of every network; `kept` is whether the network has its weights."""
    tables = []
    for name, folder in models.items():
        kept = json.loads((folder / "network.json").read_text(encoding="utf-8"))["epoch"]
        table = pd.read_csv(folder / "history.csv")
        tables.append(table.assign(network=name, kept=table.epoch == kept))
    return pd.concat(tables, ignore_index=True)


def summarize_rejected(prepared: Path) -> list[dict[str, Any]]:
    """The reasons, the most frequent first, with their `rows` and the first of them as `examples`."""
    parquet, columns = pq.ParquetFile(prepared / "rejected.parquet"), ["file", "line", "reason", "title"]
    rows: Counter[str] = Counter()
    firsts = [parquet.schema_arrow.empty_table().select(columns).to_pandas()]
    # There may be millions.
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
