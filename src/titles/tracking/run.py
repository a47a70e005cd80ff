"""The run of a stage, as the stage sees it: events sent to the worker process, one JSON object per line.

TITLES_TRACKING=off runs a stage without MLflow.
"""

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from titles.core.errors import InputError
from titles.mlflow_store.paths import main_root
from titles.nn import distributed

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

log = logging.getLogger(__name__)

SOURCE_FOLDER = str(Path(__file__).parents[2])


class Run:
    """The run of the current stage. Without a worker it logs nothing.

    If the worker has ended, log a warning and let the stage continue.
    """

    def __init__(self, worker: "subprocess.Popen[str] | None" = None) -> None:
        self.worker = worker

    def log_metrics(self, metrics: Mapping[str, object], step: int = 0) -> None:
        """Log the numbers of nested mappings; the key `log_loss` of the mapping `mlp` becomes `mlp.log_loss`."""
        self._send(metrics=metrics, step=step, time=_now_ms())

    def log_progress(self, progress: "DataclassInstance") -> None:
        """Log a dataclass of metrics; its first field is the step."""
        metrics = asdict(progress)
        self.log_metrics(metrics, metrics.pop(next(iter(metrics))))

    def log_results(self, metrics: Mapping[str, object], folder: Path) -> None:
        """Log the results of the pipeline: metrics, the report and tables in `folder`, and the plots of dvc.yaml."""
        self._send(results=metrics, folder=str(folder), step=0, time=_now_ms())

    def log_model(self, name: str, folder: Path) -> None:
        """Log a model folder as an MLflow model."""
        self._send(network=name, folder=str(folder))

    def end(self, error: BaseException | None = None) -> None:
        """End the run as FINISHED, or with an error as FAILED."""
        self._send(end="FAILED" if error else "FINISHED", error=error and error_message(error), time=_now_ms())

    def wait(self) -> None:
        """Wait until every event is in the store, or in the spool to be sent later."""
        if self.worker:
            self.worker.stdin.close()  # type: ignore[union-attr]
            self.worker.wait()

    def _send(self, **event: object) -> None:
        if self.worker:
            try:
                print(json.dumps(event, default=str), file=self.worker.stdin, flush=True)
            except BrokenPipeError:
                log.warning("MLflow's worker has ended, the stage continues; nothing more of it is logged")
                self.worker = None


def error_message(error: BaseException) -> str:
    """Return the type and message of an error as valid UTF-8. The message may quote any bytes of a user's file."""
    return f"{type(error).__name__}: {error}"[:5000].encode("utf-8", errors="backslashreplace").decode()


def _now_ms() -> int:
    return int(time.time() * 1000)


@contextmanager
def start_run(stage: str, sections: list[str]) -> Iterator[Run]:
    """Start the run of a stage that reads these sections of params.yaml, and end it with the error if the stage fails.

    Raise InputError if the store cannot be reached when the pipeline begins, before any work is done.
    """
    if is_disabled():
        yield Run()
        return
    worker = _start_worker(stage, sections)
    _wait_until_ready(worker)
    run = Run(worker)
    try:
        yield run
    except BaseException as error:
        run.end(error)
        raise
    else:
        run.end()
    finally:
        run.wait()


def log_failed_run(stage: str, sections: list[str], error: InputError) -> None:
    """Log a failed run of a stage whose input is invalid. In the user's checkout, do not wait for the store."""
    if is_disabled():
        return
    run = Run(_start_worker(stage, sections))
    run.end(error)
    if Path.cwd() != main_root():
        # DVC removes the checkout of a temporary experiment, and with it the code of the worker.
        run.wait()


def is_disabled() -> bool:
    """Whether nothing is logged: on request, and in all processes of a distributed training but the first."""
    return os.environ.get("TITLES_TRACKING") == "off" or distributed.rank() > 0


def _start_worker(stage: str, sections: list[str]) -> "subprocess.Popen[str]":
    # Imports psutil, as _read_params imports ruamel.yaml. Training without tracking needs neither.
    from titles.tracking.pipeline_run import PipelineRun

    worker = _spawn_worker()
    pipeline = PipelineRun.from_current_process()
    run = Run(worker)
    root = main_root()
    run._send(root=str(root), stage=stage, pipeline=asdict(pipeline), time=_now_ms())
    run._send(params=_read_params(), sections=sections)
    return worker


def _spawn_worker() -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "titles.tracking.worker"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([SOURCE_FOLDER, os.environ.get("PYTHONPATH", "")])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Ctrl-C and a closed terminal end the stage, but not the worker, which must log how the stage ended.
        start_new_session=True,
    )


def _read_params() -> object:
    """Return the content of params.yaml as DVC reads it, or {} if it cannot be read: the stage reports that itself."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe").load(Path("params.yaml"))
    except (OSError, YAMLError, UnicodeDecodeError):
        return {}


def _wait_until_ready(worker: "subprocess.Popen[str]") -> None:
    reply = worker.stdout.readline()  # type: ignore[union-attr]
    if not reply:
        raise InputError("the MLflow worker could not be started, see above; TITLES_TRACKING=off runs without it")
    if error := json.loads(reply).get("error"):
        raise InputError(error)
