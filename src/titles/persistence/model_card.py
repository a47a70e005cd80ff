"""README.md of a model folder: the model's card, in the format of Hugging Face, filled from its training."""

import hashlib
import json
import math
from collections.abc import Iterable
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from titles.data.encoded_dataset import LabelledDataset, Vocabulary
from titles.data.provenance import read_sources
from titles.metrics.history import EpochMetrics
from titles.nn.hparams import TrainParams

HASHED_FILES = ("weights.safetensors", "vocabulary.json", "network.json")
LONG_NAMES = {"mlp": "multilayer perceptron over bags of words", "cnn": "convolutional network over words in order"}
MORE_EPOCHS = " of {} (`train.epochs` is {}, but so few titles take more epochs to make `train.min_steps`, {:,}, steps)"

CARD = Template("""---
$front_matter
---

# $name: product titles to categories

A $long_name, made of $members small networks whose probabilities are averaged. It gives a short product title the
category it most likely belongs to, of $categories, with a score from 0 to 1.

## Use
```python
from titles.inference.classifier import Classifier

Classifier.load("$name").predict(["Funda Silicona Galaxy J7 Prime"], top=3)  # with the path of this folder
```
or `titles predict $name titles.csv -o categories.parquet`. Weights are safetensors; nothing is unpickled. It takes
titles as they were written: cleaning is part of it (`network.json` has the rules).

## Data
$sources

From these it had $trained distinct titles, of which it left out $suspect_labels whose label looked wrong. It was
chosen and calibrated on $validated others, the validation titles.
A category had $fewest to $most titles, half of them $median or more. It knows $words words by themselves, and all
others by $spelling.

## Figures
Of epoch $epoch$more_epochs, on the validation titles, where each is given the category that is best for $objective:

$figures

`history.csv` has every epoch.

$thresholds

What it is worth on test titles is measured by the stage `evaluate` and stands in `results/` of the repository that
trained it.

## Limits
- It gives a title of none of its categories one of them all the same; there only a low score tells.
- It reads Latin letters and digits, of a title the first $most_words words. A title without any gets no category.
- Scores are probabilities of a category as frequent as it was in training; the first category need not have the highest
  score, as rare categories count more for balanced accuracy (`titles predict --objective accuracy` chooses by score).
- Scores and thresholds hold for titles like the validation titles. Other sellers, languages or years are to be
  measured anew.
- It repeats what its labels say, mistakes included, and is the less sure the fewer titles a category had.

## Training
$parameters

With $versions.

## Hashes
$hashes
""")


def write_card(folder: Path, embedded: Path, epoch: EpochMetrics) -> None:
    """Writes the card of the model in `folder`, whose weights are of that epoch; all its other files are there."""
    description = json.loads((folder / "network.json").read_text(encoding="utf-8"))
    sources, lexicon = read_sources(embedded / "sources.csv"), Vocabulary.load(folder)
    facts = _template_values(description, embedded) | {
        "front_matter": _front_matter(description["network"], epoch, [source.file for source in sources]),
        "sources": _markdown_table(
            "file,as,bytes,MD5", [(s.file, s.split, f"{s.bytes:,}", f"`{s.md5}`") for s in sources]
        ),
        "spelling": _describe_subwords(lexicon),
        "figures": _markdown_table("balanced accuracy,accuracy,loss", [_metrics_row(epoch)]),
        "hashes": _markdown_table("file,SHA-256", [(name, f"`{_sha256(folder / name)}`") for name in HASHED_FILES]),
    }
    (folder / "README.md").write_text(CARD.substitute(facts), encoding="utf-8")


def _template_values(description: dict[str, Any], embedded: Path) -> dict[str, str]:
    """What network.json and the titles tell, by the names of `CARD`."""
    name, sizes = description["network"], description["sizes"]
    labels = LabelledDataset.load(embedded, "train").labels
    per_category = np.bincount(labels, minlength=sizes["categories"])
    params = TrainParams(**description["train"])
    epochs = params.num_epochs(len(labels) - description["suspect_labels"])
    counts = {
        "members": description["model"]["ensemble_size"],
        "categories": sizes["categories"],
        "words": sizes["vocabulary"],
        "trained": len(labels),
        "validated": len(LabelledDataset.load(embedded, "validation")),
        "fewest": per_category.min(),
        "median": int(np.median(per_category)),
        "most": per_category.max(),
        "most_words": description["cleaning"]["most_words"],
        "epoch": description["epoch"],
        "suspect_labels": description["suspect_labels"],
    }
    parts = ("model", "own", "train")
    parameters = [
        (f"{name if part == 'own' else part}.{key}", value)
        for part in parts
        for key, value in description[part].items()
    ]
    return {key: f"{count:,}" for key, count in counts.items()} | {
        "name": name,
        "long_name": LONG_NAMES[name],
        "objective": params.objective.replace("_", " "),
        "more_epochs": "" if epochs == params.epochs else MORE_EPOCHS.format(epochs, params.epochs, params.min_steps),
        "thresholds": _describe_thresholds(description["thresholds"]),
        "parameters": _markdown_table(
            "parameter,value", [(f"`{key}`", f"`{json.dumps(value)}`") for key, value in parameters]
        ),
        "versions": ", ".join(f"{package} {version}" for package, version in description["versions"].items()),
    }


def _metrics_row(epoch: EpochMetrics) -> tuple[object, ...]:
    loss = "–" if math.isnan(epoch.validation_loss) else epoch.validation_loss
    return epoch.validation_balanced_accuracy, epoch.validation_accuracy, loss


def _front_matter(name: str, epoch: EpochMetrics, files: list[str]) -> str:
    """YAML, of which JSON is a part."""
    measured = {"balanced_accuracy": epoch.validation_balanced_accuracy, "accuracy": epoch.validation_accuracy}
    result = {
        "task": {"type": "text-classification", "name": "product titles to categories"},
        "dataset": {"type": "titles", "name": ", ".join(files), "split": "validation"},
        "metrics": [{"type": kind, "value": value} for kind, value in measured.items()],
    }
    content = {
        "library_name": "titles",
        "pipeline_tag": "text-classification",
        "tags": ["product-classification", name],
        "metrics": list(measured),
        "model-index": [{"name": name, "results": [result]}],
    }
    return "\n".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in content.items())


def _describe_thresholds(thresholds: list[dict[str, float]]) -> str:
    if not thresholds:
        return "There are no thresholds: too few of its decisions on the validation titles are right to be sure of any."
    columns = "accuracy of at least,score of at least,validation titles,of these right,share of all"
    rows = [[one[key] for key in ("accuracy", "score", "titles", "right", "share")] for one in thresholds]
    confidence = f"{thresholds[0]['confidence']:.0%} confidence"
    return (
        f"With {confidence} each, these are the accuracies of titles that score so high, by an exact binomial "
        f"test on the validation titles:\n\n{_markdown_table(columns, rows)}\n\n"
        "An accuracy that is not there is one these titles are too few, or too often wrong, to be sure of."
    )


def _describe_subwords(vocabulary: Vocabulary) -> str:
    if not vocabulary.subword_lengths:
        return "nothing"
    return f"their spelling, in parts of {' or '.join(map(str, vocabulary.subword_lengths))} letters"


def _markdown_table(columns: str, rows: Iterable[Iterable[object]]) -> str:
    head = columns.split(",")
    cells = [[str(cell).replace("|", "&#124;") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *cells))


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
