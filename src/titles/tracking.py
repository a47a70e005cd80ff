"""MLflow at the edge: one run a stage, in one store however the pipeline is run.

The store is the server named by MLFLOW_TRACKING_URI, else mlflow.db and mlartifacts/ in the root of the main checkout,
where DVC's temporary experiments write too. TITLES_TRACKING=off runs without it.
"""

import logging
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
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
    """The run of the stage at work; without a client it logs nothing. What the store does not take costs a warning."""

    def __init__(self, client: "MlflowClient | None" = None, run_id: str = "") -> None:
        self.client, self.run_id = client, run_id

    def log_params(self, params: Mapping[str, object]) -> None:
        """Logs the values of nested tables, those of `model` as `model.activation`."""
        if self.client:
            from mlflow.entities import Param

            logged = [Param(_key(key), str(value)) for key, value in flat(params)]
            self._attempt(self.client.log_batch, self.run_id, params=logged)

    def log_metrics(self, metrics: Mapping[str, object], step: int = 0) -> None:
        """Logs the numbers of nested tables."""
        if self.client:
            from mlflow.entities import Metric

            now = int(time.time() * 1000)
            logged = [Metric(_key(key), float(str(value)), now, step) for key, value in flat(metrics)]
            self._attempt(self.client.log_batch, self.run_id, logged)

    def log_epoch(self, epoch: "DataclassInstance") -> None:
        """Logs a dataclass that counts epochs in its field `epoch`."""
        metrics = asdict(epoch)
        self.log_metrics(metrics, metrics.pop("epoch"))

    def log_artifact(self, path: Path) -> None:
        """Keeps a small file beside the run."""
        if self.client:
            self._attempt(self.client.log_artifact, self.run_id, str(path))

    def end(self, status: str, error: BaseException | None = None) -> None:
        """Ends the run FINISHED, or FAILED with the error."""
        if self.client and error:
            # SQLite refuses what is no UTF-8, and an error may quote a user's file.
            message = f"{type(error).__name__}: {error}"[:5000].encode("utf-8", errors="backslashreplace").decode()
            self._attempt(self.client.set_tag, self.run_id, "error", message)
        if self.client:
            self._attempt(self.client.set_terminated, self.run_id, status)

    def _attempt(self, call: Callable[..., object], *arguments: object, **options: object) -> None:
        from mlflow.exceptions import MlflowException

        try:
            call(*arguments, **options)
        except (MlflowException, OSError) as error:
            log.warning("MLflow: %s failed, the stage goes on: %s", call.__name__, error)


def _key(name: str) -> str:
    """The name with `_` for what MLflow does not allow in one; values of a user's columns may hold anything."""
    return re.sub(r"[^\w\-. /:]", "_", name)


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
    run = _start_run(stage)
    run.log_params(params)
    try:
        yield run
    except BaseException as error:
        run.end("FAILED", error)
        raise
    run.end("FINISHED")


def _start_run(stage: str) -> Run:
    """Raises InputError if the store cannot be reached: before any work is the time to say so."""
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
            # Fixed here, as by default artifacts would lie where the first stage happens to run.
            artifacts = (root / "mlartifacts").as_uri() if uri.startswith("sqlite") else None
            experiment_id = experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT, artifacts)
            created = client.create_run(experiment_id, run_name=stage, tags=_tags(stage))
        except MlflowException as error:
            raise InputError(f"MLflow at {uri}: {error}; set MLFLOW_TRACKING_URI, or TITLES_TRACKING=off") from None
    return Run(client, created.info.run_id)


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
