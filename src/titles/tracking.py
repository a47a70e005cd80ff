"""MLflow at the edge: one run a stage, in one store however the pipeline is run.

The store is the server named by MLFLOW_TRACKING_URI, else mlflow.db and mlartifacts/ in the root of the main checkout,
where DVC's temporary experiments write too. TITLES_TRACKING=off runs without it.
"""

import logging
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from titles.errors import InputError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

EXPERIMENT = "titles"
NESTED_CHECKOUTS = ".dvc/tmp/exps"


class Run:
    """The run of the stage at work; without a client it logs nothing."""

    def __init__(self, client: "MlflowClient | None" = None, run_id: str = "") -> None:
        self.client, self.run_id = client, run_id

    def log_metrics(self, metrics: Mapping[str, object], step: int = 0) -> None:
        """Logs numbers, those of nested tables as `mlp.loss`. A failure costs a warning, not the stage."""
        if self.client is None:
            return
        from mlflow.entities import Metric
        from mlflow.exceptions import MlflowException

        now = int(time.time() * 1000)
        try:
            self.client.log_batch(
                self.run_id, [Metric(key, float(str(value)), now, step) for key, value in flat(metrics)]
            )
        except MlflowException as error:
            log.warning("MLflow did not take the metrics of step %d: %s", step, error)

    def log_epoch(self, epoch: "DataclassInstance") -> None:
        """Logs a dataclass that counts epochs in its field `epoch`."""
        metrics = asdict(epoch)
        self.log_metrics(metrics, metrics.pop("epoch"))

    def log_artifact(self, path: Path) -> None:
        """Keeps a small file beside the run."""
        if self.client is None:
            return
        from mlflow.exceptions import MlflowException

        try:
            self.client.log_artifact(self.run_id, str(path))
        except MlflowException as error:
            log.warning("MLflow did not take %s: %s", path, error)


def flat(table: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """The values of nested tables under the keys that DVC gives them: `model.activation`."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


@contextmanager
def tracked(stage: str, params: Mapping[str, object]) -> Iterator[Run]:
    """The run of a stage; it ends FAILED, with the error, if the stage does."""
    if os.environ.get("TITLES_TRACKING") == "off":
        yield Run()
        return
    client, experiment_id = _open_store()
    run_id = client.create_run(experiment_id, run_name=stage, tags=_tags(stage)).info.run_id
    for key, value in flat(params):
        client.log_param(run_id, key, value)
    run = Run(client, run_id)
    try:
        yield run
    except BaseException as error:
        client.set_tag(run_id, "error", f"{type(error).__name__}: {error}"[:5000])
        client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id, "FINISHED")


def _open_store() -> tuple["MlflowClient", str]:
    """A client and the experiment's id. Raises InputError if the store cannot be reached."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    logging.getLogger("alembic").setLevel(logging.WARNING)
    root = main_root()
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root / 'mlflow.db'}"
    # Two processes that open a new SQLite store at once break it, and create_experiment is a race on any store.
    with FileLock(root / "mlflow.db.lock"):
        try:
            client = MlflowClient(uri)
            experiment = client.get_experiment_by_name(EXPERIMENT)
            if experiment is not None:
                return client, experiment.experiment_id
            # Fixed here, as by default artifacts would lie where the first stage happens to run.
            artifacts = (root / "mlartifacts").as_uri() if uri.startswith("sqlite") else None
            return client, client.create_experiment(EXPERIMENT, artifact_location=artifacts)
        except MlflowException as error:
            raise InputError(f"MLflow at {uri}: {error}; set MLFLOW_TRACKING_URI, or TITLES_TRACKING=off") from None


def main_root() -> Path:
    """The root of the checkout the user works in, also from a temporary experiment below it."""
    named = Path(os.environ.get("DVC_ROOT", ""))
    if named.is_absolute() and (named / ".dvc").is_dir():
        return named
    here = Path.cwd()
    before, nested, _ = here.as_posix().partition(f"/{NESTED_CHECKOUTS}/")
    return Path(before) if nested else here


def _tags(stage: str) -> dict[str, str]:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    names = {"dvc.experiment": "DVC_EXP_NAME", "dvc.baseline": "DVC_EXP_BASELINE_REV"}
    found = {tag: os.environ[name] for tag, name in names.items() if name in os.environ}
    return found | {"dvc.stage": stage, "mlflow.source.git.commit": commit, "mlflow.source.name": f"stages.{stage}"}
