"""Which run of the pipeline a stage belongs to: told by the DVC process above it, so no file holds a run's id."""

import os
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Pipeline:
    """One run of the pipeline.

    key     the same for all stages that one DVC process starts, and for no others
    name    of the DVC experiment, else `repro`, or `manual` for a stage that a user starts by hand
    tags    where it comes from
    """

    key: str
    name: str
    tags: dict[str, str]

    @classmethod
    def of_this_process(cls) -> "Pipeline":
        """A stage started by hand is a pipeline of its own."""
        process = next(filter(_is_dvc, psutil.Process().parents()), None)
        key = _key(process or psutil.Process())
        experiment = os.environ.get("DVC_EXP_NAME")
        commit = _commit()
        tags = {
            "dvc.experiment": experiment or "workspace",
            "dvc.baseline": os.environ.get("DVC_EXP_BASELINE_REV") or commit,
            "mlflow.source.git.commit": commit,
        }
        return cls(key, experiment or ("repro" if process else "manual"), tags)


def _is_dvc(process: psutil.Process) -> bool:
    """Whether it was started as `dvc`, `/somewhere/bin/dvc` or `python -m dvc`."""
    try:
        command = process.cmdline()[:3]
    except psutil.Error:
        return False
    return "dvc" in [Path(word).name for word in command[:2]] or command[1:] == ["-m", "dvc"]


def _key(process: psutil.Process) -> str:
    # A process number comes again, but not with the same start.
    return f"{socket.gethostname()}-{process.pid}-{process.create_time():.2f}"


def is_alive(key: str) -> bool:
    """Whether the process a pipeline's key names still runs."""
    try:
        return _key(psutil.Process(int(key.split("-")[-2]))) == key
    except psutil.Error:
        return False


def _commit() -> str:
    return subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
