"""Promote a network of the workspace to champion: `python -m titles.tracking.promote [NETWORK]`, or `make promote`.

Register the network in the MLflow model registry if necessary, and move the alias to it. Then
`models:/titles@champion` loads it from anywhere. Without a name, promote the network that was best on validation.
"""

import argparse
import logging
import sys
from pathlib import Path

import mlflow
from mlflow.entities import LoggedModelStatus
from mlflow.entities.model_registry import ModelVersion

from titles.core.errors import InputError
from titles.mlflow_store.credentials import redact_logs
from titles.mlflow_store.dvc_lineage import output_hash
from titles.mlflow_store.logged_model import best_epoch, log_model
from titles.mlflow_store.paths import main_root
from titles.mlflow_store.store import Store
from titles.tracking.pipeline_run import PipelineRun
from titles.tracking.uploader import connect

MODEL_NAME, ALIAS = "titles", "champion"
MODELS_FOLDER = Path("models")


def promote(store: Store, folder: Path) -> ModelVersion:
    """Register the network of a model folder and set the alias to its version."""
    version = _find_or_register_version(store, _find_or_log_model(store, folder), folder)
    store.client.set_registered_model_alias(MODEL_NAME, ALIAS, version.version)
    return version


def _find_or_log_model(store: Store, folder: Path) -> str:
    """Return the id of the MLflow model with this content. Log it if no run did, as DVC had it in its cache."""
    digest = output_hash(folder)
    models = store.client.search_logged_models([store.experiment_id], f"tags.`dvc.hash` = '{digest}'") if digest else []
    for model in models:
        # A model whose upload failed is not ready.
        if model.status == LoggedModelStatus.READY:
            return str(model.model_id)
    return log_model(folder.name, folder, PipelineRun.from_current_process().tags | {"dvc.hash": digest})


def _find_or_register_version(store: Store, model_id: str, folder: Path) -> ModelVersion:
    source = f"models:/{model_id}"
    for version in store.client.search_model_versions(f"name = '{MODEL_NAME}'"):
        if version.source == source:
            return version
    tags = {"titles.network": folder.name, "validation_balanced_accuracy": str(best_epoch(folder)[1])}
    return mlflow.register_model(source, MODEL_NAME, tags=tags)


def _choose_folder(name: str | None) -> Path:
    """Return the model folder called `name`, or without a name the one that was best on validation."""
    folders = sorted(path.parent for path in MODELS_FOLDER.glob("*/history.csv"))
    if not folders:
        raise InputError(f"{MODELS_FOLDER} has no network; train them with dvc repro, or get them with dvc pull")
    if name is None:
        return max(folders, key=lambda folder: best_epoch(folder)[1])
    if MODELS_FOLDER / name not in folders:
        raise InputError(
            f"{MODELS_FOLDER} has no network {name!r}; there are {', '.join(path.name for path in folders)}"
        )
    return MODELS_FOLDER / name


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="titles.tracking.promote", description=__doc__)
    parser.add_argument("network", nargs="?")
    options = parser.parse_args()
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    redact_logs()
    try:
        folder = _choose_folder(options.network)
        version = promote(connect(main_root()), folder)
    except InputError as error:
        sys.exit(f"promote: {error}")
    accuracy = best_epoch(folder)[1]
    print(f"{folder.name}, balanced accuracy {accuracy} on validation, is models:/{MODEL_NAME}@{ALIAS},", end=" ")
    print(f"version {version.version}")


if __name__ == "__main__":
    main()
