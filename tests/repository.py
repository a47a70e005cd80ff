"""A checkout of its own, with a small catalogue and small networks, and the commands a user gives in it."""

import json
import os
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import psutil
import yaml
from ruamel.yaml import YAML

from titles.demo.__main__ import write_csv

ROOT = Path(__file__).parents[1]
SMALL = {
    "prepare": {"validation_fraction": 0.2, "test_fraction": 0.2},
    "reduce": {"fraction": 1},
    "embed": {"dimension": 16, "subword_buckets": 997},
    "mlp": {"hidden_units": 16, "filters": 4},
    "cnn": {"filters": 8},
    "train": {"epochs": 2, "min_steps": 1, "batch_size": 32, "learning_rate": 0.02, "threads": 1},
}
# What no command takes, and no server to start or to end, on however busy a machine.
SECONDS = 900
# For file systems that a test mounts.
AS_ROOT = ["sudo", "-n"] if os.getuid() else []
TRAINED = ["train_mlp", "train_cnn", "evaluate"]
ALL = ["prepare", "reduce", "embed", *TRAINED]


class Repository:
    """The checkout in `folder`; `store` is its MLFLOW_TRACKING_URI, by default its own."""

    def __init__(self, folder: Path, store: str | None = None) -> None:
        self.folder, self.store = folder, store

    def start(self, *command: str, tracking: str = "off") -> subprocess.Popen[bytes]:
        """The command under way."""
        search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        names = ("MLFLOW_TRACKING_URI", "DVC_ROOT", "PYTHONPATH")
        environment = {name: value for name, value in os.environ.items() if name not in names}
        environment |= {
            "PATH": search,
            "TITLES_TRACKING": tracking,
            "DVC_NO_ANALYTICS": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        if self.store:
            environment["MLFLOW_TRACKING_URI"] = self.store
        # Not a pipe: DVC's workers would hold it open, and sometimes they idle for ever (DVC's issue 10398).
        with self._printed(command).open("w") as printed:
            return subprocess.Popen(command, cwd=self.folder, env=environment, stdout=printed, stderr=subprocess.STDOUT)

    def run(self, *command: str, tracking: str = "off", status: int | None = 0) -> str:
        """What the command printed; fails where its status is another."""
        return self.finish(self.start(*command, tracking=tracking), status)

    def finish(self, process: subprocess.Popen[bytes], status: int | None = 0) -> str:
        try:
            process.wait(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            # What it started would hold DVC's locks, and fail all tests that follow.
            for started in [*psutil.Process(process.pid).children(recursive=True), process]:
                started.kill()
        printed = self._printed(process.args).read_text()
        assert status is None or process.returncode == status, printed
        return printed

    def _printed(self, command: object) -> Path:
        """The file that command prints to."""
        return self.folder.parent / f"{self.folder.name}-{zlib.crc32(repr(command).encode()):08x}.txt"

    def python(self, *arguments: str) -> str:
        """What a module of the package printed, run the way the Makefile does."""
        return self.run("env", "PYTHONPATH=src", "python", "-m", *arguments, tracking="on")

    def stages_run_by(self, *command: str, tracking: str = "off") -> list[str]:
        printed = self.run(*command, tracking=tracking)
        return [stage for stage in ALL if f"Running stage '{stage}'" in printed]

    def commit(self, message: str) -> None:
        self.run("git", "add", "--all")
        self.run("git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "--quiet", "--message", message)

    def metrics(self) -> dict[str, dict[str, float]]:
        content: dict[str, dict[str, float]] = json.loads((self.folder / "results/metrics.json").read_text())
        return content

    def lock(self) -> dict[str, object]:
        content: dict[str, object] = yaml.safe_load((self.folder / "dvc.lock").read_text())
        return content


def write_catalogue(path: Path, rows: int, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        write_csv(file, rows, num_categories=6, seed=seed)


def committed(folder: Path, store: str | None = None) -> Repository:
    """The tracked files of this checkout with a small catalogue and small networks, committed and not yet run."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if not name.startswith(("results/", "data/demo/")) and name != "dvc.lock" and (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    write_catalogue(folder / "data/demo/train.csv", rows=900, seed=1)
    params = YAML().load(folder / "params.yaml")
    for section, values in SMALL.items():
        params[section].update(values)
    YAML().dump(params, folder / "params.yaml")
    made = Repository(folder, store)
    made.run("git", "init", "--quiet", "--initial-branch", "main")
    made.commit("start")
    return made
