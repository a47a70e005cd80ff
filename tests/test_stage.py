"""Stages run as processes: their errors, usage lines and reaction to Ctrl-C."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.numbered import write_numbered
from tests.repository import SECONDS
from tests.tracking.tree import trees
from titles.stage import start
from titles.tracking.run import Run

ROOT = Path(__file__).parents[1]


# A training that waits in its first step for Ctrl-C.
WAITING_TRAINING = """
import runpy, stages, time
from titles.training.checkpoint import Checkpoint

def wait(*_):
    print("waiting", flush=True)
    while True:
        time.sleep(0.01)

Checkpoint.save_when_due = wait
runpy.run_module("stages.train_mlp", run_name="__main__")
"""


def start_stage(
    folder: Path,
    options: list[str],
    *arguments: str,
    tracking: str = "off",
    changes: dict[str, str] | None = None,
) -> subprocess.Popen[str]:
    """Start Python with the options that run a stage as a module or a script, and with changed lines of params.yaml."""
    params = (ROOT / "params.yaml").read_text(encoding="utf-8")
    for line, changed in (changes or {}).items():
        assert params.count(line) == 1
        params = params.replace(line, changed)
    (folder / "params.yaml").write_text(params, encoding="utf-8")
    names = ("MLFLOW_TRACKING_URI", "DVC_ROOT")
    environment = {key: value for key, value in os.environ.items() if key not in names}
    environment |= {"PYTHONPATH": str(ROOT), "TITLES_TRACKING": tracking}
    command = [sys.executable, *options, *arguments]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run_stage(
    folder: Path, name: str, *arguments: str, tracking: str = "off", changes: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    process = start_stage(folder, ["-m", f"stages.{name}"], *arguments, tracking=tracking, changes=changes)
    output = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, *output)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'title,category\nmesa,TABLES\n"silla,CHAIRS\n', "train.csv, line 3: a quote opens there"),
        ("title,category\nmesa,TABLES\n".encode("utf-32"), "train.csv is UTF-32; convert it: iconv -f UTF-32 "),
        (
            b"Title;category\nmesa;TABLES\n",
            "no column title; its columns are Title, category; if it has another name, ",
        ),
    ],
)
def test_bad_input_ends_a_stage_with_one_line_that_says_what_to_do(tmp_path: Path, content: bytes, message: str):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/train.csv").write_bytes(content)
    done = run_stage(tmp_path, "prepare", "prepared", changes={"raw: data/demo": "raw: raw"})
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("prepare: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("stage", ["train_mlp", "train_cnn", "evaluate"])
def test_titles_encoded_by_another_version_are_reported_in_one_line(tmp_path: Path, stage: str):
    write_numbered(tmp_path, train=20, validation=10, test=10)
    (tmp_path / "embedded/train.reliable.npy").unlink()
    paths = ["prepared", "embedded", "mlp", "cnn", "results", "predicted"]
    done = run_stage(tmp_path, stage, *(paths if stage == "evaluate" else ["embedded", "vectors.npy", "models/mlp"]))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{stage}: embedded is not what this version of the stage embed writes (")
    assert line.endswith("'embedded/train.reliable.npy'); run the stage embed again")


def test_the_columns_named_in_params_yaml_are_read(tmp_path: Path):
    (tmp_path / "raw").mkdir()
    rows = "".join(f"mesa {number};{'AB'[number % 2]}\n" for number in range(400))
    (tmp_path / "raw/train.csv").write_bytes(f"Title;category\n{rows}".encode("utf-16"))
    changes = {"raw: data/demo": "raw: raw", "    title: title": "    title: Title"}
    done = run_stage(tmp_path, "prepare", "prepared", changes=changes)
    assert "400 read" in done.stderr
    assert done.returncode == 0


def test_prepare_run_by_hand_reads_the_folder_on_its_command_line(tmp_path: Path):
    (tmp_path / "mine").mkdir()
    rows = "".join(f"mesa {number},{'AB'[number % 2]}\n" for number in range(400))
    (tmp_path / "mine/train.csv").write_text(f"title,category\n{rows}")
    done = run_stage(tmp_path, "prepare", "mine", "prepared")
    assert (done.returncode, "400 read" in done.stderr) == (0, True)


@pytest.mark.parametrize("arguments", [(), ("a", "b", "c")])
def test_too_few_or_too_many_paths_print_the_usage(tmp_path: Path, arguments: tuple[str, ...]):
    done = run_stage(tmp_path, "prepare", *arguments)
    assert (done.returncode, done.stderr) == (1, "usage: python -m stages.prepare [RAW] PREPARED\n")


def test_bad_input_leaves_a_failed_run(tmp_path: Path):
    (tmp_path / ".dvc").mkdir()
    done = run_stage(tmp_path, "prepare", "prepared", tracking="on", changes={"raw: data/demo": "raw: nowhere"})
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    (tree,) = trees(f"sqlite:///{tmp_path}/mlflow.db")
    assert tree.statuses == {"pipeline": "FAILED", "prepare": "FAILED"}
    assert "nowhere is not a folder" in tree.children["prepare"].data.tags["error"]


def test_ctrl_c_ends_a_stage_with_one_line_that_says_how_to_continue(monkeypatch: pytest.MonkeyPatch):
    def prepare(*, run: Run) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("TITLES_TRACKING", "off")
    monkeypatch.setattr(sys, "argv", ["prepare"])
    with pytest.raises(SystemExit, match="prepare: stopped; run it again from the start; its old outputs are"):
        start(prepare)


def test_ctrl_c_ends_a_running_training(tmp_path: Path):
    write_numbered(tmp_path, train=200, validation=20)
    process = start_stage(tmp_path, ["-c", WAITING_TRAINING], "embedded", "vectors.npy", "models/mlp")
    assert process.stdout
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    *_, last = process.communicate(timeout=SECONDS)[1].splitlines()
    assert last == "train_mlp: stopped; run it again to resume from its last checkpoint"
    assert process.returncode == 1
    assert [path.name for path in (tmp_path / "models").iterdir()] == [".checkpoints"]


def test_a_missing_path_prints_the_usage(tmp_path: Path):
    done = run_stage(tmp_path, "reduce", "data/prepared")
    assert (done.returncode, done.stderr.strip()) == (1, "usage: python -m stages.reduce PREPARED REDUCED")
