"""The one MLflow store of a checkout: the server named by MLFLOW_TRACKING_URI, else mlflow.db and mlartifacts/."""

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

for name, level in {"alembic": logging.WARNING, "mlflow": logging.WARNING, "urllib3": logging.ERROR}.items():
    logging.getLogger(name).setLevel(level)

EXPERIMENT = "titles"
# What MLflow takes in one batch.
MOST_PARAMS, MOST_METRICS = 100, 1000


def tracking_uri(root: Path) -> str:
    uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    relative = re.fullmatch(r"sqlite:///([^/].*)", uri)
    return f"sqlite:///{root / relative[1]}" if relative else uri


class Store:
    """Finds runs by tags that say what they are, and makes those that are not there."""

    def __init__(self, root: Path) -> None:
        """Raises MlflowException where the store cannot be reached."""
        uri = tracking_uri(root)
        mlflow.set_tracking_uri(uri)
        # Two processes that open a new SQLite store at once break it, and two must not make one experiment twice.
        with FileLock(root / "mlflow.db.lock"):
            self.client = MlflowClient(uri)
            # Fixed here, as by default artifacts would lie where the first stage happens to run.
            artifacts = (root / "mlartifacts").as_uri() if uri.startswith("sqlite") else None
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

    def find(self, **tags: str) -> Iterator[Run]:
        """The runs with these tags, in whose names `_` stands for `.`; the newest first."""
        conditions = [f"tags.`{tag.replace('_', '.')}` = '{value}'" for tag, value in tags.items()]
        page = None
        while True:
            runs = self.client.search_runs([self.experiment_id], " and ".join(conditions), page_token=page)
            yield from runs
            page = runs.token
            if not page:
                return

    def parent(self, begin: Mapping[str, Any]) -> str:
        """The id of the run of the pipeline that a stage belongs to."""
        pipeline = begin["pipeline"]
        for run in self.find(titles_pipeline=pipeline["key"]):
            return str(run.info.run_id)
        tags = {"titles.pipeline": pipeline["key"], **pipeline["tags"]}
        return self.create(pipeline["name"], tags, begin["time"])

    def child(self, begin: Mapping[str, Any], parent: str) -> str:
        """The id of the run of a stage."""
        pipeline, stage = begin["pipeline"], begin["stage"]
        key = f"{pipeline['key']}/{stage}"
        for run in self.find(titles_stage=key):
            return str(run.info.run_id)
        source = {"mlflow.source.name": f"stages.{stage}", "mlflow.source.type": "LOCAL"}
        tags = {"titles.stage": key, "dvc.stage": stage, "mlflow.parentRunId": parent, **source, **pipeline["tags"]}
        return self.create(stage, tags, begin["time"])

    def create(self, name: str, tags: Mapping[str, str], time: int | None = None) -> str:
        created = self.client.create_run(self.experiment_id, time, dict(tags), name)
        return str(created.info.run_id)

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
    """The values of nested tables under the keys that DVC gives them: `model.activation`.

    `_` stands for what MLflow does not allow in a key; values of a user's columns may hold anything.
    """
    for key, value in table.items() if isinstance(table, Mapping) else ():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield re.sub(r"[^\w\-. /:]", "_", f"{prefix}{key}"), value


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch
