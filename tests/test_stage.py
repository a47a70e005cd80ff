"""A stage as a process, on input a user can mend."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tree import trees
from titles.stage import start
from titles.tracking.run import Run

ROOT = Path(__file__).parents[1]


def run_stage(folder: Path, name: str, *arguments: str, tracking: str = "off") -> subprocess.CompletedProcess[str]:
    (folder / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    names = ("MLFLOW_TRACKING_URI", "DVC_ROOT")
    environment = {key: value for key, value in os.environ.items() if key not in names}
    environment |= {"PYTHONPATH": str(ROOT), "TITLES_TRACKING": tracking}
    command = [sys.executable, "-m", f"stages.{name}", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'title,category\nmesa,TABLES\n"silla,CHAIRS\n', "train.csv, line 3: a quote opens there"),
        ("title,category\nmesa,TABLES\n".encode("utf-16"), "train.csv: no column category or title"),
        (b"title;category\nmesa;TABLES\n", "train.csv: no column category or title"),
    ],
)
def test_bad_input_ends_a_stage_with_one_line_that_says_what_to_do(tmp_path: Path, content: bytes, told: str):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/train.csv").write_bytes(content)
    done = run_stage(tmp_path, "prepare", "raw", "prepared")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("prepare: ")
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_bad_input_leaves_a_failed_run(tmp_path: Path):
    (tmp_path / ".dvc").mkdir()
    done = run_stage(tmp_path, "prepare", "nowhere", "prepared", tracking="on")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    (tree,) = trees(f"sqlite:///{tmp_path}/mlflow.db")
    assert tree.statuses == {"pipeline": "FAILED", "prepare": "FAILED"}
    assert "nowhere is not a folder" in tree.children["prepare"].data.tags["error"]


def test_ctrl_c_ends_a_stage_with_one_line_that_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch):
    def train_mlp(*, run: Run) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("TITLES_TRACKING", "off")
    monkeypatch.setattr(sys, "argv", ["train_mlp"])
    with pytest.raises(SystemExit, match="train_mlp: stopped; started again, a training goes on from its last check"):
        start(train_mlp)


def test_a_stage_says_which_paths_it_takes(tmp_path: Path):
    done = run_stage(tmp_path, "reduce", "data/prepared")
    assert (done.returncode, done.stderr.strip()) == (1, "usage: python -m stages.reduce PREPARED REDUCED")
