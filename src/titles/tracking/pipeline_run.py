"""Which run of the pipeline a stage belongs to: told by the DVC process above it, so no file holds a run's id."""

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
# The 22nd field of /proc/PID/stat; the second is the name of the program in parentheses, which may hold spaces.
START_TIME_FIELD = 22 - 3


@dataclass(frozen=True)
class PipelineRun:
    """One run of the pipeline.

    key      the same for all stages that one DVC process starts, and for no others
    name     of the DVC experiment; else `repro`, or `manual` for a stage that a user starts by hand, and the time
    command  that started it, as a user would type it
    tags     where it comes from
    """

    key: str
    name: str
    command: str
    tags: dict[str, str]

    @classmethod
    def from_current_process(cls) -> "PipelineRun":
        """A stage started by hand is a pipeline of its own."""
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
    """The name to log in to MLflow's server with, else that of the operating system."""
    try:
        return os.environ.get("MLFLOW_TRACKING_USERNAME") or getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a number that has no name.
        return ""


def _is_dvc(process: psutil.Process) -> bool:
    """Whether it was started as `dvc`, `/somewhere/bin/dvc` or `python -m dvc`."""
    try:
        command = process.cmdline()[:3]
    except psutil.Error:
        return False
    return "dvc" in [Path(word).name for word in command[:2]] or command[1:] == ["-m", "dvc"]


def _display_command(command: list[str]) -> str:
    """The command without the paths of Python and DVC."""
    if "exec-run" in command:
        return "dvc queue start"
    named = [Path(word).name for word in command[:2]]
    if "dvc" in named:
        return shlex.join(["dvc", *command[named.index("dvc") + 1 :]])
    return shlex.join(["dvc", *command[3:]] if command[1:3] == ["-m", "dvc"] else ["python", *command[1:]])


def _process_key(process: psutil.Process) -> str:
    """Names a process for ever. Its number comes again, but not with the same start.

    From the ticks since the machine was started, as `create_time` moves when the clock is set.
    """
    try:
        boot = BOOT_ID_FILE.read_text().strip()
        start = Path(f"/proc/{process.pid}/stat").read_bytes().rpartition(b")")[2].split()[START_TIME_FIELD].decode()
    except OSError:
        # Only Linux has these.
        boot, start = socket.gethostname(), f"{process.create_time():.2f}"
    return f"{boot}-{process.pid}-{start}"


def is_alive(key: str) -> bool:
    """Whether the process a pipeline's key names still runs."""
    try:
        _, pid, _ = key.rsplit("-", 2)
        return _process_key(psutil.Process(int(pid))) == key
    except (psutil.Error, ValueError, OverflowError):
        return False


def _git_commit() -> str:
    """Empty without Git, or outside a repository."""
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
