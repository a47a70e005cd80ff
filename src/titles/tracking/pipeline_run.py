"""The run of the pipeline that a stage belongs to.

The DVC process that started the stage identifies it, so no file has to hold the id of a run.
"""

import getpass
import os
import shlex
import socket
import subprocess
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psutil

BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")
# Field 22 of /proc/PID/stat, counted after field 2: the name of the program in parentheses, which may contain spaces.
START_TIME_FIELD = 22 - 3


@dataclass(frozen=True)
class PipelineRun:
    """One run of the pipeline.

    key      identifies the DVC process, so it is shared by the stages that this process starts
    name     of the DVC experiment; otherwise the time after `repro`, or after `manual` if a user started the stage
    command  that started the pipeline, as a user would type it
    tags     experiment, Git commits and user, as tags of MLflow runs
    """

    key: str
    name: str
    command: str
    tags: dict[str, str]

    @classmethod
    def from_current_process(cls) -> "PipelineRun":
        """Describe the pipeline of this process. Without a DVC process above it, the stage is a pipeline of its own."""
        dvc = next(filter(_is_dvc, psutil.Process().parents()), None)
        process = dvc or psutil.Process()
        command = _display_command(process.cmdline())
        experiment = os.environ.get("DVC_EXP_NAME")
        # The first stage of a pipeline names it.
        name = experiment or f"{'repro' if dvc else 'manual'} {datetime.now():%Y-%m-%d %H:%M:%S}"
        commit = _git_commit()
        tags = {
            "dvc.experiment": experiment or "workspace",
            "dvc.baseline": os.environ.get("DVC_EXP_BASELINE_REV") or commit,
            "mlflow.source.git.commit": commit,
            "mlflow.user": user_name(),
        }
        return cls(_process_key(process), name, command, {tag: value for tag, value in tags.items() if value})


def user_name() -> str:
    """Return the user name for the MLflow server, or without one that of the operating system."""
    try:
        return os.environ.get("MLFLOW_TRACKING_USERNAME") or getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a user id that has no name.
        return ""


def _is_dvc(process: psutil.Process) -> bool:
    """Whether the process was started as `dvc`, `/somewhere/bin/dvc` or `python -m dvc`."""
    try:
        command = process.cmdline()[:3]
    except psutil.Error:
        return False
    return "dvc" in [Path(word).name for word in command[:2]] or command[1:] == ["-m", "dvc"]


def _display_command(command: list[str]) -> str:
    """Return the command line without the paths of Python and DVC."""
    if "exec-run" in command:
        return "dvc queue start"
    programs = [Path(word).name for word in command[:2]]
    if "dvc" in programs:
        return shlex.join(["dvc", *command[programs.index("dvc") + 1 :]])
    return shlex.join(["dvc", *command[3:]] if command[1:3] == ["-m", "dvc"] else ["python", *command[1:]])


def _process_key(process: psutil.Process) -> str:
    """Return a key that no other process will have: boot id, process id and start time.

    The start time is in clock ticks since the boot, as `create_time` changes when the clock is set.
    """
    try:
        boot = BOOT_ID_FILE.read_text().strip()
        start = Path(f"/proc/{process.pid}/stat").read_bytes().rpartition(b")")[2].split()[START_TIME_FIELD].decode()
    except OSError:
        # Only Linux has these.
        boot, start = socket.gethostname(), f"{process.create_time():.2f}"
    return f"{boot}-{process.pid}-{start}"


def is_alive(key: str) -> bool:
    """Whether the process with this key still runs."""
    try:
        _, pid, _ = key.rsplit("-", 2)
        return _process_key(psutil.Process(int(pid))) == key
    except (psutil.Error, ValueError, OverflowError):
        return False


def _git_commit() -> str:
    """Return the id of the current commit, or an empty string without Git or outside a repository."""
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
