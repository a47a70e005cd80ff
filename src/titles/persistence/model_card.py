"""The model card, README.md of a model folder: in the format of Hugging Face, filled with the facts of the training."""

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
DESCRIPTIONS = {"mlp": "multilayer perceptron on bags of words", "cnn": "convolutional network on word sequences"}
MORE_EPOCHS = " of {} (`train.epochs` is {}; with so few titles, more epochs are needed for `train.min_steps`, {:,})"

CARD = Template("""---
$front_matter
---

# $name: product titles to categories

A $description: an ensemble of $ensemble_size small networks whose probabilities are averaged. It predicts the
category of a short product title, one of $categories, with a score from 0 to 1.

## Usage
```python
from titles import Classifier

Classifier.load("$name").predict(["Funda Silicona Galaxy J7 Prime"], top=3)  # with the path of this folder
```
or `titles predict $name titles.csv -o categories.parquet`. The weights are in safetensors format, so nothing is
unpickled. Pass raw titles: the model normalizes them itself, by the rules in `network.json`.

## Data
$sources

The training data are $train_titles distinct titles; $suspect_labels of them were excluded because their labels are
probably wrong. The epoch and the calibration were chosen on $validation_titles other titles, the validation titles.
A category has $fewest to $most training titles, with a median of $median. $subwords

## Results
Epoch $epoch$more_epochs, on the validation titles, with decisions optimized for $objective:

$results

`history.csv` has the metrics of every epoch.

$thresholds

The stage `evaluate` of the repository that trained this model measures it on test titles and writes `results/`.

## Limitations
- A title that belongs to none of its categories is assigned to one of them anyway. Only a low score indicates this.
- Only Latin letters and digits of the first $max_words words are used. A title without any gets no category.
- A score is a probability for titles whose categories are as frequent as in training. With the objective balanced
  accuracy, rare categories count more, so the first category may not have the highest score
  (`titles predict --objective accuracy` chooses by score).
- Scores and thresholds are valid for titles like the validation titles. Evaluate the model again for other sellers,
  languages or years.
- The model reproduces errors in its labels. It is less certain for categories with few training titles.

## Training
$parameters

Versions: $versions.

## Hashes
$hashes
""")


def write_card(folder: Path, embedded: Path, epoch: EpochMetrics) -> None:
    """Write the card of the model in `folder`, which has all other files. `epoch` is the epoch of its weights."""
    description = json.loads((folder / "network.json").read_text(encoding="utf-8"))
    sources, vocabulary = read_sources(embedded / "sources.csv"), Vocabulary.load(folder)
    values = _template_values(description, embedded) | {
        "front_matter": _front_matter(description["network"], epoch, [source.file for source in sources]),
        "sources": _markdown_table(
            "file,split,bytes,MD5", [(s.file, s.split, f"{s.bytes:,}", f"`{s.md5}`") for s in sources]
        ),
        "subwords": _describe_subwords(vocabulary),
        "results": _markdown_table("balanced accuracy,accuracy,log loss", [_metrics_row(epoch)]),
        "hashes": _markdown_table("file,SHA-256", [(name, f"`{_sha256(folder / name)}`") for name in HASHED_FILES]),
    }
    (folder / "README.md").write_text(CARD.substitute(values), encoding="utf-8")


def _template_values(description: dict[str, Any], embedded: Path) -> dict[str, str]:
    """Return the values of `CARD` that come from network.json and from the embedded titles."""
    name, sizes = description["network"], description["sizes"]
    labels = LabelledDataset.load(embedded, "train").labels
    per_category = np.bincount(labels, minlength=sizes["categories"])
    params = TrainParams(**description["train"])
    epochs = params.num_epochs(len(labels) - description["suspect_labels"])
    counts = {
        "ensemble_size": description["model"]["ensemble_size"],
        "categories": sizes["categories"],
        "train_titles": len(labels),
        "validation_titles": len(LabelledDataset.load(embedded, "validation")),
        "fewest": per_category.min(),
        "median": int(np.median(per_category)),
        "most": per_category.max(),
        "max_words": description["normalization"]["max_words"],
        "epoch": description["epoch"],
        "suspect_labels": description["suspect_labels"],
    }
    parameters = [
        (f"{section}.{key}", value)
        for section, values in (
            ("model", description["model"]),
            (name, description["network_params"]),
            ("train", description["train"]),
        )
        for key, value in values.items()
    ]
    return {key: f"{count:,}" for key, count in counts.items()} | {
        "name": name,
        "description": DESCRIPTIONS[name],
        "objective": params.objective.replace("_", " "),
        "more_epochs": "" if epochs == params.epochs else MORE_EPOCHS.format(epochs, params.epochs, params.min_steps),
        "thresholds": _describe_thresholds(description["thresholds"]),
        "parameters": _markdown_table(
            "parameter,value", [(f"`{key}`", f"`{json.dumps(value)}`") for key, value in parameters]
        ),
        "versions": ", ".join(f"{package} {version}" for package, version in description["versions"].items()),
    }


def _metrics_row(epoch: EpochMetrics) -> tuple[object, ...]:
    log_loss = "–" if math.isnan(epoch.validation_loss) else epoch.validation_loss
    return epoch.validation_balanced_accuracy, epoch.validation_accuracy, log_loss


def _front_matter(name: str, epoch: EpochMetrics, files: list[str]) -> str:
    """Return the metadata of the card as YAML. The values are written as JSON, which is valid YAML."""
    metrics = {"balanced_accuracy": epoch.validation_balanced_accuracy, "accuracy": epoch.validation_accuracy}
    result = {
        "task": {"type": "text-classification", "name": "product titles to categories"},
        "dataset": {"type": "titles", "name": ", ".join(files), "split": "validation"},
        "metrics": [{"type": metric, "value": value} for metric, value in metrics.items()],
    }
    content = {
        "library_name": "titles",
        "pipeline_tag": "text-classification",
        "tags": ["product-classification", name],
        "metrics": list(metrics),
        "model-index": [{"name": name, "results": [result]}],
    }
    return "\n".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in content.items())


def _describe_thresholds(thresholds: list[dict[str, float]]) -> str:
    if not thresholds:
        return (
            "There are no thresholds: too few decisions on the validation titles are correct to guarantee an accuracy."
        )
    columns = "accuracy of at least,score of at least,validation titles,correct decisions,share of all titles"
    rows = [[threshold[key] for key in ("accuracy", "score", "titles", "correct", "share")] for threshold in thresholds]
    confidence = f"{thresholds[0]['confidence']:.0%}"
    return (
        "Decisions with at least this score have at least this accuracy, each with a confidence of "
        f"{confidence} (exact binomial test on the validation titles):\n\n{_markdown_table(columns, rows)}\n\n"
        "An accuracy without a threshold cannot be guaranteed: the validation titles are too few or too often wrong."
    )


def _describe_subwords(vocabulary: Vocabulary) -> str:
    words = f"The vocabulary has {len(vocabulary.words):,} words. "
    if not (lengths := vocabulary.subword_lengths):
        return words + "All other words are ignored."
    return words + f"All other words are represented by their character n-grams, n from {lengths[0]} to {lengths[-1]}."


def _markdown_table(columns: str, rows: Iterable[Iterable[object]]) -> str:
    header = columns.split(",")
    cells = [[str(cell).replace("|", "&#124;") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *cells))


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
