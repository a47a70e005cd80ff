"""Notes of runs, and the identity of a run of the pipeline."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from titles.mlflow_store.notes import params_note, pipeline_note, stage_note
from titles.tracking.pipeline_run import PipelineRun, _display_command, is_alive

PARAMS = {"model": {"activation": "relu", "widths": [1, 2]}, "train": {"epochs": 8}}
YAML = "model:\n  activation: relu\n  widths:\n  - 1\n  - 2\ntrain:\n  epochs: 8\n"


@pytest.fixture
def commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The only commit of a repository with parameters and code, which is the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/embed.py").write_text("")
    (tmp_path / "params.yaml").write_text(YAML)
    for command in ("init --quiet", "add --all", "-c user.name=t -c user.email=t@t commit --quiet --message start"):
        subprocess.run(["git", *command.split()], check=True)
    return subprocess.check_output(["git", "rev-parse", "HEAD"], text=True).strip()


def test_a_note_has_the_command_and_what_differs_from_the_commit(commit: str, tmp_path: Path):
    pipeline = {"command": "dvc exp run -S model.activation=sigmoid", "tags": {"dvc.baseline": commit}}
    assert pipeline_note(pipeline, PARAMS) == f"`dvc exp run -S model.activation=sigmoid` on commit {commit[:7]}"
    (tmp_path / "stages/embed.py").write_text("print()")
    changed = PARAMS | {"model": {"activation": "sigmoid", "widths": [1, 2], "dropout": 0.5}}
    assert pipeline_note(pipeline, changed).splitlines() == [
        f"`dvc exp run -S model.activation=sigmoid` on commit {commit[:7]}",
        "",
        "Parameters that differ from the commit:",
        "",
        "- model.activation: `relu` → `sigmoid`",
        "- model.dropout: `None` → `0.5`",
        "",
        "Code that differs from the commit:",
        "",
        "- stages/embed.py",
    ]


@pytest.mark.parametrize("params", [{}, None, "not a table"])
@pytest.mark.usefixtures("commit")
def test_a_note_needs_no_commit_and_no_parameters(params: object):
    assert pipeline_note({"command": "dvc repro", "tags": {}}, params) == "`dvc repro` on commit unknown"
    assert params_note("0000000", PARAMS) == ""


def test_the_note_of_a_stage_is_its_description_and_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert stage_note("embed") == ""
    (tmp_path / "dvc.yaml").write_text("stages:\n  embed:\n    desc: Encode titles\n    cmd: python -m stages.embed\n")
    assert stage_note("embed") == "Encode titles: `python -m stages.embed`"
    assert stage_note("train") == ""


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["/venv/bin/python", "/venv/bin/dvc", "exp", "run", "-S", "a=b c"], "dvc exp run -S 'a=b c'"),
        (["dvc", "repro"], "dvc repro"),
        (["python3", "-m", "dvc", "repro", "train_mlp"], "dvc repro train_mlp"),
        (["/venv/bin/python", "/venv/bin/dvc", "exp", "exec-run", "--infofile", "/x/y"], "dvc queue start"),
        (["/venv/bin/python", "-m", "stages.reduce", "data"], "python -m stages.reduce data"),
    ],
)
def test_a_command_is_displayed_as_the_user_typed_it(command: list[str], expected: str):
    assert _display_command(command) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has start times that do not change with the clock")
def test_setting_the_clock_does_not_change_the_key_of_a_pipeline(monkeypatch: pytest.MonkeyPatch):
    key = PipelineRun.from_current_process().key
    started = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: started(process) + 3600)
    assert PipelineRun.from_current_process().key == key
    assert is_alive(key)


@pytest.mark.parametrize("name", [".DS_Store", "host", "host-1-0.00", "a-b-c", "host-99999999999999999999999-1", "--"])
def test_the_name_of_an_unrelated_folder_is_the_key_of_no_process(name: str):
    assert not is_alive(name)


def test_a_user_without_a_name_leaves_no_user_tag(monkeypatch: pytest.MonkeyPatch):
    def getuser() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)
    monkeypatch.setattr("getpass.getuser", getuser)
    assert "mlflow.user" not in PipelineRun.from_current_process().tags
