"""The MLflow store of a checkout: find, create and fill runs."""

import logging
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from filelock import FileLock
from sqlalchemy import make_url

# Set before MLflow is imported. With few retries, the worker detects an outage soon. The user's settings have priority.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "15")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run

from titles.mlflow_store.experiment import find_or_create_experiment, unchanged_id_variable
from titles.mlflow_store.paths import experiment_id, experiment_name, tracking_uri
from titles.mlflow_store.relocation import ARTIFACTS_FOLDER, relocate
from titles.mlflow_store.values import MAX_KEY_LENGTH, as_text, flatten

for name, level in {
    "alembic": logging.WARNING,
    "mlflow": logging.WARNING,
    # The worker reports an outage itself, once.
    "mlflow.store.db.utils": logging.ERROR,
    "urllib3": logging.ERROR,
}.items():
    logging.getLogger(name).setLevel(level)

# Limits of MLflow.
MAX_PARAMS_PER_BATCH, MAX_METRICS_PER_BATCH, MAX_TAG_LENGTH = 100, 1000, 5000


class Store:
    """Finds runs by the tags that identify them, and creates the runs that do not exist."""

    def __init__(self, root: Path, experiment: tuple[str, str | None] | None = None) -> None:
        """Connect to the store, and find or create the experiment.

        root        of the checkout
        experiment  name and id of the MLflow experiment, by default those of the environment; an id has precedence

        Raise InputError if the user must act. If the store cannot be reached, raise the error of the store or driver.
        """
        name, requested_id = experiment or (experiment_name(), experiment_id())
        uri = tracking_uri(root)
        mlflow.set_tracking_uri(uri)
        # A server has an artifact location. For a database, MLflow's default depends on the current folder.
        artifacts = None if uri.startswith("http") else (root / ARTIFACTS_FOLDER).as_uri()
        if artifacts:
            from mlflow.store.db import utils
            from mlflow.tracking._tracking_service import utils as service

            # By default MLflow tries for 100 s to reach a database.
            utils.MAX_RETRY_COUNT = 2
            # For MLflow's own experiment 0. Its default is a path, which MLflow inserts into SQL without escapes.
            service.DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH = artifacts  # type: ignore[attr-defined]
        # Two processes that create one SQLite store at the same time break it, and would create a run twice.
        self.lock = FileLock(root / "mlflow.db.lock")
        with self.lock:
            if (database := _sqlite_file(uri)) and database.is_relative_to(root):
                relocate(root, database)
            self.client = MlflowClient(uri)
            self.experiment_id = find_or_create_experiment(self.client, name, requested_id, artifacts)
        # Models that are logged without a run go to this experiment.
        with unchanged_id_variable():
            mlflow.set_experiment(experiment_id=self.experiment_id)

    def is_writable(self) -> bool:
        """Whether the store accepts a write. A store on a full disk or a replica can still be read."""
        try:
            self.client.set_experiment_tag(self.experiment_id, "titles.last_refusal", str(int(time.time())))
        except Exception:
            return False
        return True

    def search_runs(self, tags: Mapping[str, str]) -> Iterator[Run]:
        """Yield the runs with these tags, newest first."""
        # A filter cannot escape a quote, so `_` of LIKE matches any character in place of an unusual one.
        patterns = {tag: re.sub(r"[^\w./-]", "_", value) for tag, value in tags.items()}
        conditions = [f"tags.`{tag}` LIKE '{pattern}'" for tag, pattern in patterns.items()]
        page = None
        while True:
            runs = self.client.search_runs([self.experiment_id], " and ".join(conditions), page_token=page)
            yield from (run for run in runs if tags.items() <= run.data.tags.items())
            page = runs.token
            if not page:
                return

    def find_or_create_stage_run(self, begin: Mapping[str, Any]) -> tuple[str, str]:
        """Return the ids of the run of a pipeline and of the run of a stage below it."""
        pipeline, stage, time = begin["pipeline"], begin["stage"], begin["time"]
        key = f"{pipeline['key']}/{stage}"
        # The UI shows the source without folders and extension.
        source = {"mlflow.source.name": "dvc.yaml", "mlflow.source.type": "LOCAL", **pipeline["tags"]}
        with self.lock:
            parent = self.find_or_create(pipeline["name"], {"titles.pipeline": pipeline["key"]}, source, time)
            stage_tags = {"dvc.stage": stage, "mlflow.parentRunId": parent, "mlflow.source.name": f"stages/{stage}.py"}
            return parent, self.find_or_create(stage, {"titles.stage": key}, source | stage_tags, time)

    def find_or_create(self, name: str, key: Mapping[str, str], tags: Mapping[str, str], time: int) -> str:
        """Return the id of the run with the tags `key`, or of a new run with `tags` too, begun at `time` in ms."""
        for run in self.search_runs(key):
            return str(run.info.run_id)
        all_tags = {tag: as_text(value) for tag, value in {**key, **tags}.items()}
        run = self.client.create_run(self.experiment_id, time, all_tags, as_text(name)[:MAX_KEY_LENGTH])
        return str(run.info.run_id)

    def set_tag(self, run_id: str, tag: str, value: str) -> None:
        """Set a tag to a text that every store accepts."""
        self.client.set_tag(run_id, tag, as_text(value)[:MAX_TAG_LENGTH])

    def log_params(self, run_id: str, params: object) -> None:
        """Log the values of nested mappings; the key `activation` of the mapping `model` becomes `model.activation`."""
        entities = [Param(key, as_text(value)) for key, value in flatten(params)]
        for batch in _batches(entities, MAX_PARAMS_PER_BATCH):
            self.client.log_batch(run_id, params=batch)

    def log_metrics(self, run_id: str, metrics: object, time: int, step: int) -> None:
        """Log the numbers of nested mappings."""
        entities = [Metric(key, float(value), time, step) for key, value in flatten(metrics)]
        for batch in _batches(entities, MAX_METRICS_PER_BATCH):
            self.client.log_batch(run_id, metrics=batch)


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch


def _sqlite_file(uri: str) -> Path | None:
    """Return the path of a SQLite database, or None for another kind of store."""
    if not uri.startswith("sqlite:"):
        return None
    database = make_url(uri).database or ""
    return Path(unquote(urlsplit(database).path) if database.startswith("file:") else database)
