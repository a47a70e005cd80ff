"""What a stage says of itself, a JSON object a line, to the recorder that puts it in MLflow.

TITLES_TRACKING=off runs without MLflow.
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
    """The run of the stage at work; without a recorder it logs nothing. What cannot be logged costs a warning."""

    def __init__(self, worker: "subprocess.Popen[str] | None" = None) -> None:
        self.worker = worker

    def log_metrics(self, metrics: Mapping[str, object], step: int = 0) -> None:
        """Logs the numbers of nested tables, those of `mlp` as `mlp.log_loss`."""
        self._send(metrics=metrics, step=step, time=_now_ms())

    def log_progress(self, progress: "DataclassInstance") -> None:
        """Logs a dataclass whose first field says how far the stage is."""
        metrics = asdict(progress)
        self.log_metrics(metrics, metrics.pop(next(iter(metrics))))

    def log_results(self, metrics: Mapping[str, object], folder: Path) -> None:
        """Logs what the pipeline as a whole came to: metrics, report and tables, and the plots of dvc.yaml."""
        self._send(results=metrics, folder=str(folder), step=0, time=_now_ms())

    def log_model(self, name: str, folder: Path) -> None:
        """Logs a model folder as a model that takes titles."""
        self._send(network=name, folder=str(folder))

    def end(self, error: BaseException | None = None) -> None:
        """Ends the run FINISHED, or FAILED with the error."""
        self._send(end="FAILED" if error else "FINISHED", error=error and error_message(error), time=_now_ms())

    def wait(self) -> None:
        """Until everything is in the store, or kept for later."""
        if self.worker:
            self.worker.stdin.close()  # type: ignore[union-attr]
            self.worker.wait()

    def _send(self, **event: object) -> None:
        if self.worker:
            try:
                print(json.dumps(event, default=str), file=self.worker.stdin, flush=True)
            except BrokenPipeError:
                log.warning("MLflow's recorder has ended, the stage goes on; from here on nothing of it is logged")
                self.worker = None


def error_message(error: BaseException) -> str:
    """The kind of error and its message, as text that any store takes; it may quote a user's file."""
    return f"{type(error).__name__}: {error}"[:5000].encode("utf-8", errors="backslashreplace").decode()


def _now_ms() -> int:
    return int(time.time() * 1000)


@contextmanager
def start_run(stage: str, sections: list[str]) -> Iterator[Run]:
    """The run of a stage, with its sections of params.yaml; it ends FAILED, with the error, if the stage does.

    Raises InputError if the store cannot be reached when the pipeline begins: before any work is the time to say so.
    """
    if is_disabled():
        yield Run()
        return
    recorder = _start_worker(stage, sections)
    _wait_until_ready(recorder)
    run = Run(recorder)
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
    """Leaves the run of a stage that was refused; in the user's checkout without waiting, to say so at once."""
    if is_disabled():
        return
    run = Run(_start_worker(stage, sections))
    run.end(error)
    if Path.cwd() != main_root():
        # DVC removes the checkout of a temporary experiment, and with it the code of the recorder.
        run.wait()


def is_disabled() -> bool:
    """Also in every process of a training but the first."""
    return os.environ.get("TITLES_TRACKING") == "off" or distributed.rank() > 0


def _start_worker(stage: str, sections: list[str]) -> "subprocess.Popen[str]":
    # Needs psutil, as _params needs ruamel.yaml; a machine that trains without tracking need not have them.
    from titles.tracking.pipeline_run import PipelineRun

    recorder = subprocess.Popen(
        [sys.executable, "-m", "titles.tracking.worker"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([SOURCE_FOLDER, os.environ.get("PYTHONPATH", "")])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Ctrl-C and the end of a terminal are for the stage; its recorder outlives it to say how it ended.
        start_new_session=True,
    )
    pipeline = PipelineRun.from_current_process()
    run = Run(recorder)
    root = main_root()
    run._send(root=str(root), stage=stage, pipeline=asdict(pipeline), time=_now_ms())
    run._send(params=_read_params(), sections=sections)
    return recorder


def _read_params() -> object:
    """All of params.yaml as DVC reads it; nothing where it cannot be read, which the stage says by itself."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe").load(Path("params.yaml"))
    except (OSError, YAMLError, UnicodeDecodeError):
        return {}


def _wait_until_ready(worker: "subprocess.Popen[str]") -> None:
    answer = worker.stdout.readline()  # type: ignore[union-attr]
    if not answer:
        raise InputError("MLflow could not be started, see above; TITLES_TRACKING=off runs without it")
    if error := json.loads(answer).get("error"):
        raise InputError(error)
