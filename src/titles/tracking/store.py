"""The one MLflow store of a checkout, and the runs in it."""

import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from filelock import FileLock

# Set before MLflow is imported. The recorder must find out soon that a server is gone; the user's own settings win.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "15")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run
from mlflow.exceptions import MlflowException

from titles.tracking.location import tracking_uri

for name, level in {
    "alembic": logging.WARNING,
    "mlflow": logging.WARNING,
    # What they say of an outage is said by the recorder, once.
    "mlflow.store.db.utils": logging.ERROR,
    "urllib3": logging.ERROR,
}.items():
    logging.getLogger(name).setLevel(level)

EXPERIMENT = "titles"
# What MLflow takes in one batch, and in one key.
MOST_PARAMS, MOST_METRICS, MOST_LETTERS = 100, 1000, 250


class Store:
    """Finds runs by tags that say what they are, and makes those that are not there."""

    def __init__(self, root: Path) -> None:
        """Raises what the store or its driver raises where it cannot be reached."""
        uri = tracking_uri(root)
        mlflow.set_tracking_uri(uri)
        # A server has a place for artifacts; otherwise they would lie where the first stage happens to run.
        artifacts = None if uri.startswith("http") else (root / "mlartifacts").as_uri()
        if artifacts:
            from mlflow.store.db import utils
            from mlflow.tracking._tracking_service import utils as service

            # MLflow would try for 100 s to reach a database.
            utils.MAX_RETRY_COUNT = 2
            # For its own experiment 0. By default a path, which MLflow puts into SQL as it is, quotes and all.
            service.DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH = artifacts  # type: ignore[attr-defined]
        # Two processes that open a new SQLite store at once break it, and two must not make one run twice.
        self.lock = FileLock(root / "mlflow.db.lock")
        with self.lock:
            self.client = MlflowClient(uri)
            self.experiment_id = self._experiment(artifacts)
        # Networks are logged to it.
        os.environ["MLFLOW_EXPERIMENT_ID"] = self.experiment_id

    def _experiment(self, artifacts: str | None) -> str:
        for _ in range(2):
            if experiment := self.client.get_experiment_by_name(EXPERIMENT):
                return str(experiment.experiment_id)
            try:
                return self.client.create_experiment(EXPERIMENT, artifacts)
            except MlflowException as error:
                # Another machine may have been first.
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
        raise MlflowException(f"the experiment {EXPERIMENT} is neither there nor can it be made")

    def answers(self) -> bool:
        try:
            return self.client.get_experiment(self.experiment_id) is not None
        except Exception:
            return False

    def find(self, tags: Mapping[str, str]) -> Iterator[Run]:
        """The runs with these tags, the newest first."""
        conditions = [f"tags.`{tag}` = '{value}'" for tag, value in tags.items()]
        page = None
        while True:
            runs = self.client.search_runs([self.experiment_id], " and ".join(conditions), page_token=page)
            yield from runs
            page = runs.token
            if not page:
                return

    def runs_of(self, begin: Mapping[str, Any]) -> tuple[str, str]:
        """The ids of the run of a pipeline and of that of a stage below it."""
        pipeline, stage, time = begin["pipeline"], begin["stage"], begin["time"]
        key = f"{pipeline['key']}/{stage}"
        source = {"mlflow.source.name": f"stages.{stage}", "mlflow.source.type": "LOCAL"}
        with self.lock:
            parent = self.find_or_create(pipeline["name"], {"titles.pipeline": pipeline["key"]}, pipeline["tags"], time)
            tags = {"dvc.stage": stage, "mlflow.parentRunId": parent, **source, **pipeline["tags"]}
            return parent, self.find_or_create(stage, {"titles.stage": key}, tags, time)

    def find_or_create(self, name: str, key: Mapping[str, str], tags: Mapping[str, str], time: int) -> str:
        """The id of the run with the tags of `key`; one that is not there begins at `time` and has `tags` as well."""
        for run in self.find(key):
            return str(run.info.run_id)
        return str(self.client.create_run(self.experiment_id, time, {**key, **tags}, name).info.run_id)

    def log_params(self, run_id: str, params: object) -> None:
        """Logs the values of nested tables, those of `model` as `model.activation`."""
        logged = [Param(key, str(value)) for key, value in flat(params)]
        for batch in _batches(logged, MOST_PARAMS):
            self.client.log_batch(run_id, params=batch)

    def log_metrics(self, run_id: str, metrics: object, time: int, step: int) -> None:
        """Logs the numbers of nested tables."""
        logged = [Metric(key, float(value), time, step) for key, value in flat(metrics)]
        for batch in _batches(logged, MOST_METRICS):
            self.client.log_batch(run_id, metrics=batch)


def flat(table: object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested tables under the keys that DVC gives them: `model.activation`, as `as_key` has them."""
    for key, value in table.items() if isinstance(table, Mapping) else ():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield as_key(f"{prefix}{key}").replace("/", "_"), value


def as_key(text: str) -> str:
    """The text with `_` for what MLflow allows in no key, cut to the length of one."""
    return re.sub(r"[^\w\-. :/]", "_", text)[:MOST_LETTERS]


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch
