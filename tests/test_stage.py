"""A stage as a process, on input a user can mend."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.numbered import write_numbered
from tests.tree import trees
from titles.stage import start
from titles.tracking.run import Run

ROOT = Path(__file__).parents[1]


def start_stage(
    folder: Path, name: str, *arguments: str, tracking: str = "off", changes: dict[str, str] | None = None
) -> subprocess.Popen[str]:
    params = (ROOT / "params.yaml").read_text(encoding="utf-8")
    for line, changed in (changes or {}).items():
        assert params.count(line) == 1
        params = params.replace(line, changed)
    (folder / "params.yaml").write_text(params, encoding="utf-8")
    names = ("MLFLOW_TRACKING_URI", "DVC_ROOT")
    environment = {key: value for key, value in os.environ.items() if key not in names}
    environment |= {"PYTHONPATH": str(ROOT), "TITLES_TRACKING": tracking}
    command = [sys.executable, "-m", f"stages.{name}", *arguments]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run_stage(folder: Path, name: str, *arguments: str, tracking: str = "off") -> subprocess.CompletedProcess[str]:
    process = start_stage(folder, name, *arguments, tracking=tracking)
    said = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, *said)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'title,category\nmesa,TABLES\n"silla,CHAIRS\n', "train.csv, line 3: a quote opens there"),
        ("title,category\nmesa,TABLES\n".encode("utf-32"), "train.csv is UTF-32; convert it: iconv -f UTF-32 "),
        (
            b"Title;category\nmesa;TABLES\n",
            "no column title; its columns are Title, category; if it has another name, ",
        ),
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


def test_the_columns_that_params_yaml_names_are_read(tmp_path: Path):
    (tmp_path / "raw").mkdir()
    rows = "".join(f"mesa {number};{'AB'[number % 2]}\n" for number in range(400))
    (tmp_path / "raw/train.csv").write_bytes(f"Title;category\n{rows}".encode("utf-16"))
    changes = {"    title: title": "    title: Title"}
    process = start_stage(tmp_path, "prepare", "raw", "prepared", changes=changes)
    assert "400 read" in process.communicate()[1]
    assert process.returncode == 0


def test_bad_input_leaves_a_failed_run(tmp_path: Path):
    (tmp_path / ".dvc").mkdir()
    done = run_stage(tmp_path, "prepare", "nowhere", "prepared", tracking="on")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    (tree,) = trees(f"sqlite:///{tmp_path}/mlflow.db")
    assert tree.statuses == {"pipeline": "FAILED", "prepare": "FAILED"}
    assert "nowhere is not a folder" in tree.children["prepare"].data.tags["error"]


def test_ctrl_c_ends_a_stage_with_one_line_that_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch):
    def prepare(*, run: Run) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("TITLES_TRACKING", "off")
    monkeypatch.setattr(sys, "argv", ["prepare"])
    with pytest.raises(SystemExit, match="prepare: stopped; started again, it begins anew, and what it wrote before"):
        start(prepare)


def test_ctrl_c_ends_a_training_at_work(tmp_path: Path):
    write_numbered(tmp_path, train=200, validation=20)
    # More epochs than there is time for, so that the training is at work when it is interrupted.
    endless = {"  epochs: 8\n": "  epochs: 1000000\n", "  patience: 3\n": "  patience: 1000000\n"}
    process = start_stage(tmp_path, "train_mlp", "embedded", "vectors.npy", "models/mlp", changes=endless)
    assert process.stderr
    next(line for line in process.stderr if "epoch 2/" in line)
    process.send_signal(signal.SIGINT)
    *_, last = process.communicate(timeout=60)[1].splitlines()
    assert last == "train_mlp: stopped; started again, it goes on from its last checkpoint"
    assert process.returncode == 1
    assert [path.name for path in (tmp_path / "models").iterdir()] == [".checkpoints"]


def test_a_stage_says_which_paths_it_takes(tmp_path: Path):
    done = run_stage(tmp_path, "reduce", "data/prepared")
    assert (done.returncode, done.stderr.strip()) == (1, "usage: python -m stages.reduce PREPARED REDUCED")
