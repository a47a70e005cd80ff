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

SOURCE = str(Path(__file__).parents[2])


class Run:
    """The run of the stage at work; without a recorder it logs nothing. What cannot be logged costs a warning."""

    def __init__(self, recorder: "subprocess.Popen[str] | None" = None) -> None:
        self.recorder = recorder

    def log_metrics(self, metrics: Mapping[str, object], step: int = 0) -> None:
        """Logs the numbers of nested tables, those of `mlp` as `mlp.log_loss`."""
        self._say(metrics=metrics, step=step, time=_now())

    def log_progress(self, known: "DataclassInstance") -> None:
        """Logs a dataclass whose first field says how far the stage is."""
        metrics = asdict(known)
        self.log_metrics(metrics, metrics.pop(next(iter(metrics))))

    def log_results(self, metrics: Mapping[str, object], folder: Path) -> None:
        """Logs what the pipeline as a whole came to: metrics, report and tables, and the plots of dvc.yaml."""
        self._say(results=metrics, folder=str(folder), step=0, time=_now())

    def log_network(self, name: str, folder: Path) -> None:
        """Logs a model folder as a model that takes titles."""
        self._say(network=name, folder=str(folder))

    def end(self, error: BaseException | None = None) -> None:
        """Ends the run FINISHED, or FAILED with the error."""
        self._say(end="FAILED" if error else "FINISHED", error=error and describe(error), time=_now())

    def wait(self) -> None:
        """Until everything is in the store, or kept for later."""
        if self.recorder:
            self.recorder.stdin.close()  # type: ignore[union-attr]
            self.recorder.wait()

    def _say(self, **event: object) -> None:
        if self.recorder:
            try:
                print(json.dumps(event, default=str), file=self.recorder.stdin, flush=True)
            except BrokenPipeError:
                log.warning("MLflow's recorder has ended, the stage goes on; from here on nothing of it is logged")
                self.recorder = None


def describe(error: BaseException) -> str:
    """The kind of error and its message, as text that any store takes; it may quote a user's file."""
    return f"{type(error).__name__}: {error}"[:5000].encode("utf-8", errors="backslashreplace").decode()


def _now() -> int:
    return int(time.time() * 1000)


@contextmanager
def tracked(stage: str, sections: list[str]) -> Iterator[Run]:
    """The run of a stage, with its sections of params.yaml; it ends FAILED, with the error, if the stage does.

    Raises InputError if the store cannot be reached when the pipeline begins: before any work is the time to say so.
    """
    if is_off():
        yield Run()
        return
    recorder = _start_recorder(stage, sections)
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


def leave_failed_run(stage: str, sections: list[str], error: InputError) -> None:
    """Leaves the run of a stage that was refused; in the user's checkout without waiting, to say so at once."""
    if is_off():
        return
    run = Run(_start_recorder(stage, sections))
    run.end(error)
    if Path.cwd() != main_root():
        # DVC removes the checkout of a temporary experiment, and with it the code of the recorder.
        run.wait()


def is_off() -> bool:
    """Also in every process of a training but the first."""
    return os.environ.get("TITLES_TRACKING") == "off" or distributed.rank() > 0


def _start_recorder(stage: str, sections: list[str]) -> "subprocess.Popen[str]":
    # Needs psutil, as _params needs ruamel.yaml; a machine that trains without tracking need not have them.
    from titles.tracking.pipeline_run import Pipeline

    recorder = subprocess.Popen(
        [sys.executable, "-m", "titles.tracking.worker"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([SOURCE, os.environ.get("PYTHONPATH", "")])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Ctrl-C and the end of a terminal are for the stage; its recorder outlives it to say how it ended.
        start_new_session=True,
    )
    pipeline = Pipeline.of_this_process()
    run = Run(recorder)
    root = main_root()
    run._say(root=str(root), stage=stage, pipeline=asdict(pipeline), time=_now())
    run._say(params=_params(), sections=sections)
    return recorder


def _params() -> object:
    """All of params.yaml as DVC reads it; nothing where it cannot be read, which the stage says by itself."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe").load(Path("params.yaml"))
    except (OSError, YAMLError, UnicodeDecodeError):
        return {}


def _wait_until_ready(recorder: "subprocess.Popen[str]") -> None:
    answer = recorder.stdout.readline()  # type: ignore[union-attr]
    if not answer:
        raise InputError("MLflow could not be started, see above; TITLES_TRACKING=off runs without it")
    if error := json.loads(answer).get("error"):
        raise InputError(error)
