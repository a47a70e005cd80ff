"""Log a model folder as an MLflow model that maps titles to categories with probabilities."""

import csv
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import mlflow.pyfunc
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

PACKAGE = Path(__file__).parents[1]
REQUIREMENTS = ("numpy", "pandas", "pyarrow", "safetensors", "torch")
INPUT_EXAMPLE = {"title": ["Funda Silicona Galaxy J7 Prime", "Fogão 5 Bocas Inox"]}

INPUT_SCHEMA = Schema([ColSpec("string", "title")])
# A title that cannot be classified has a reason instead of a category.
OUTPUT_SCHEMA = Schema(
    [
        ColSpec("string", "title", required=False),
        ColSpec("string", "category", required=False),
        ColSpec("float", "score", required=False),
        ColSpec("string", "reason", required=False),
    ]
)


def best_epoch(folder: Path) -> tuple[int, float]:
    """Return the epoch of the weights in the model folder, and their balanced accuracy on validation."""
    best = json.loads((folder / "network.json").read_text(encoding="utf-8"))["epoch"]
    with (folder / "history.csv").open(encoding="utf-8", newline="") as file:
        scores = {int(row["epoch"]): float(row["validation_balanced_accuracy"]) for row in csv.DictReader(file)}
    return best, scores[best]


def _signature(folder: Path) -> ModelSignature:
    """Return the signature; the default objective is that of the network."""
    objective = json.loads((folder / "network.json").read_text(encoding="utf-8"))["train"]["objective"]
    params = ParamSchema([ParamSpec("top", "integer", 1), ParamSpec("objective", "string", objective)])
    return ModelSignature(INPUT_SCHEMA, OUTPUT_SCHEMA, params)


def log_model(name: str, folder: Path, tags: Mapping[str, str], run_id: str | None = None) -> str:
    """Log a model folder, with the metrics of the run for its best epoch; return the id of the model."""
    logged = Model.log(
        None,
        name=name,
        flavor=mlflow.pyfunc,
        run_id=run_id,
        step=best_epoch(folder)[0],
        tags={"titles.network": name, **tags},
        python_model=str(Path(__file__).with_name("pyfunc_model.py")),
        # A URI, as MLflow would cut a path at ? and #.
        artifacts={"folder": folder.resolve().as_uri()},
        code_paths=[str(PACKAGE)],
        signature=_signature(folder),
        input_example=INPUT_EXAMPLE,
        # The installed versions; for torch without the build, as its package index may not be available elsewhere.
        pip_requirements=[f"{package}=={version(package).partition('+')[0]}" for package in REQUIREMENTS],
    )
    return str(logged.model_id)
