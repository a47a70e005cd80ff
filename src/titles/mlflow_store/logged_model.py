"""A model folder as a model of MLflow: titles in, categories with probabilities out."""

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
# A title with nothing to go on has a reason in place of a category.
OUTPUT_SCHEMA = Schema(
    [
        ColSpec("string", "title", required=False),
        ColSpec("string", "category", required=False),
        ColSpec("float", "score", required=False),
        ColSpec("string", "reason", required=False),
    ]
)


def best_epoch(folder: Path) -> tuple[int, float]:
    """The epoch whose weights the model folder has, and their balanced accuracy on validation."""
    best = json.loads((folder / "network.json").read_text(encoding="utf-8"))["epoch"]
    with (folder / "history.csv").open(encoding="utf-8", newline="") as file:
        scores = {int(row["epoch"]): float(row["validation_balanced_accuracy"]) for row in csv.DictReader(file)}
    return best, scores[best]


def _signature(folder: Path) -> ModelSignature:
    """With the objective of the network as the default."""
    objective = json.loads((folder / "network.json").read_text(encoding="utf-8"))["train"]["objective"]
    params = ParamSchema([ParamSpec("top", "integer", 1), ParamSpec("objective", "string", objective)])
    return ModelSignature(INPUT_SCHEMA, OUTPUT_SCHEMA, params)


def log_model(name: str, folder: Path, tags: Mapping[str, str], run_id: str | None = None) -> str:
    """Logs a model folder, with the metrics the run has of its best epoch; returns the id of the model."""
    logged = Model.log(
        None,
        name=name,
        flavor=mlflow.pyfunc,
        run_id=run_id,
        step=best_epoch(folder)[0],
        tags={"titles.network": name, **tags},
        python_model=str(Path(__file__).with_name("pyfunc_model.py")),
        # As a URI, since of a path MLflow would take ? and # for the end.
        artifacts={"folder": folder.resolve().as_uri()},
        code_paths=[str(PACKAGE)],
        signature=_signature(folder),
        input_example=INPUT_EXAMPLE,
        # What is installed here; torch without its build, whose index others may not have.
        pip_requirements=[f"{package}=={version(package).partition('+')[0]}" for package in REQUIREMENTS],
    )
    return str(logged.model_id)
