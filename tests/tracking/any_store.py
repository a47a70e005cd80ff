"""Tests of concurrent, temporary and failing experiments, for any kind of MLflow store.

A test file for a store imports these tests and defines the fixture `repository`.
"""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.repository import SECONDS, TRAINED, Repository, committed
from tests.tracking.tree import Tree, check_tree, predicted_by_champion, trees, with_null
from titles.inference.classifier import Classifier
from titles.mlflow_store.values import flatten
from titles.tracking.worker import STAGE_KILLED

EPOCHS = 4
LONG = ("-S", f"train.epochs={EPOCHS}", "-S", f"train.patience={EPOCHS}")
HOLD = ".dvc/tmp/hold"
HOLDING = f"""
def holding(run):
    import time

    log_progress = run.log_progress

    def log_and_wait(progress):
        log_progress(progress)
        while getattr(progress, "epoch", 0) == 2 and Path("{HOLD}").exists():
            time.sleep(0.1)

    run.log_progress = log_and_wait
    return run


if __name__"""


def encoded(folder: Path, store: str | None) -> Repository:
    """Return a committed repository with the outputs of embed; the store has no runs and need not exist."""
    repository = with_hold(committed(folder, store))
    repository.run("dvc", "repro", "embed")
    repository.commit("encoded titles")
    return repository


def with_hold(repository: Repository) -> Repository:
    """Make `train_mlp` wait at the end of its second epoch while the file `HOLD` exists."""
    stage = repository.folder / "stages/train_mlp.py"
    code = stage.read_text()
    assert code.count("folder, run, ") == code.count("\nif __name__") == 1
    stage.write_text(code.replace("folder, run, ", "folder, holding(run), ").replace("\nif __name__", HOLDING))
    repository.commit("a training that can be held")
    return repository


@contextmanager
def held_training(repository: Repository, name: str) -> Iterator[tuple[subprocess.Popen[bytes], psutil.Process]]:
    """Yield the process of `dvc exp run` and that of its `train_mlp`, which waits after its second epoch."""
    hold = repository.folder / HOLD
    hold.parent.mkdir(parents=True, exist_ok=True)
    hold.touch()
    try:
        running = repository.start("dvc", "exp", "run", "--name", name, *LONG, tracking="on")
        yield running, wait_for_training(repository, name)
    finally:
        hold.unlink()


def all_trees(repository: Repository) -> list[Tree]:
    return trees(repository.store or f"sqlite:///{repository.folder}/mlflow.db")


def named(repository: Repository, name: str) -> Tree:
    (tree,) = [tree for tree in all_trees(repository) if tree.parent.data.tags["dvc.experiment"] == name]
    return tree


def artifacts(repository: Repository, tree: Tree, folder: str) -> list[str]:
    from mlflow import MlflowClient

    client = MlflowClient(repository.store or f"sqlite:///{repository.folder}/mlflow.db")
    return [Path(file.path).name for file in client.list_artifacts(tree.parent.info.run_id, folder)]


def experiments(repository: Repository) -> dict[str, dict[str, object]]:
    """The metrics of each experiment in DVC."""
    shown = json.loads(repository.run("dvc", "exp", "show", "--json"))
    return {
        row["name"]: dict(flatten(row["revs"][0]["data"]["metrics"]["results/metrics.json"]["data"]))
        for baseline in shown
        for row in baseline["experiments"] or ()
    }


def wait_for_training(repository: Repository, name: str) -> psutil.Process:
    """Return the process of train_mlp, once the store has an epoch of the experiment."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        time.sleep(0.1)
        for tree in all_trees(repository):
            child = tree.children.get("train_mlp")
            if tree.parent.info.run_name == name and child and "train_loss" in child.data.metrics:
                (process,) = [
                    process
                    for process in psutil.process_iter(["cmdline", "cwd"])
                    # Both are None for processes of other users and those that have ended.
                    if (process.info["cmdline"] or [])[1:3] == ["-m", "stages.train_mlp"]
                    and process.info["cwd"] == str(repository.folder)
                ]
                return process
    pytest.fail(f"{name} did not start training")


def test_two_concurrent_experiments_create_and_share_a_store(repository: Repository) -> None:
    for activation in ("sigmoid", "tanh"):
        settings = ("-S", f"model.activation={activation}")
        repository.run("dvc", "exp", "run", "--queue", "--name", f"queued-{activation}", *settings)
    repository.run("dvc", "exp", "run", "--run-all", "--jobs", "2", tracking="on")
    repository.run("dvc", "queue", "stop", "--kill")
    assert len(re.findall("Success", repository.run("dvc", "queue", "status"))) == 2
    metrics_in_dvc = experiments(repository)
    run_names = {tree.parent.info.run_name for tree in all_trees(repository)}
    assert run_names == set(metrics_in_dvc) == {"queued-sigmoid", "queued-tanh"}
    for name, metrics in metrics_in_dvc.items():
        tree = named(repository, name)
        assert tree.statuses == dict.fromkeys(["pipeline", *TRAINED], "FINISHED")
        assert tree.parent.data.metrics == metrics
        assert tree.parent.data.params["model.activation"] == name.removeprefix("queued-")
        assert artifacts(repository, tree, "report") == ["report.html"]
        assert len(artifacts(repository, tree, "tables")) == 8
        assert len(artifacts(repository, tree, "plots")) == 5


def test_a_run_in_the_workspace_has_the_parameters_metrics_and_hashes_of_dvc(repository: Repository) -> None:
    assert repository.stages_run_by("dvc", "repro", tracking="on") == TRAINED
    tree = named(repository, "workspace")
    assert re.fullmatch(r"repro \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", tree.parent.info.run_name)
    check_tree(repository, tree, TRAINED)
    assert all("system/cpu_utilization_percentage" in run.data.metrics for run in tree.children.values())
    repository.commit("first run")
    assert "up to date" in repository.run("dvc", "status", tracking="on")
    assert "up to date" in repository.run("dvc", "repro", tracking="on")
    assert named(repository, "workspace").parent.info.run_id == tree.parent.info.run_id


def test_the_champion_predicts_in_a_process_without_the_project(repository: Repository, tmp_path: Path) -> None:
    repository.python("titles.tracking.promote", "cnn")
    titles = ["Zapatilla deportiva", "", "mesa"]
    expected = Classifier.load(repository.folder / "models/cnn").predict(titles, top=2)
    store = repository.store or f"sqlite:///{repository.folder}/mlflow.db"
    assert predicted_by_champion(store, titles, tmp_path) == with_null(expected)


def test_a_temporary_experiment_logs_its_runs_and_artifacts(repository: Repository) -> None:
    repository.run("dvc", "exp", "run", "--temp", "--name", "aside", "-S", "model.activation=silu", tracking="on")
    tree = named(repository, "aside")
    assert tree.statuses == dict.fromkeys(["pipeline", *TRAINED], "FINISHED")
    assert tree.parent.data.metrics == experiments(repository)["aside"]
    baseline = repository.run("git", "rev-parse", "HEAD").strip()
    assert tree.parent.data.tags["dvc.baseline"] == baseline
    note = tree.parent.data.tags["mlflow.note.content"]
    assert note.startswith(f"`dvc exp run --temp --name aside -S model.activation=silu` on commit {baseline[:7]}")
    assert "- model.activation: `relu` → `silu`" in note
    assert "confused_pairs.csv" in artifacts(repository, tree, "tables")
    assert "Loss by epoch.png" in artifacts(repository, tree, "plots")


def test_a_temporary_experiment_with_an_invalid_parameter_logs_a_failed_run_with_the_error(
    repository: Repository,
) -> None:
    settings = ("--name", "refused", "-S", "model.activation=banana")
    repository.run("dvc", "exp", "run", "--temp", *settings, tracking="on", status=None)
    tree = named(repository, "refused")
    assert tree.statuses == {"pipeline": "FAILED", "train_mlp": "FAILED"}
    assert "model.activation is 'banana'" in tree.children["train_mlp"].data.tags["error"]


def test_sync_adds_the_run_of_an_untracked_experiment_once(repository: Repository) -> None:
    repository.run("dvc", "exp", "run", "--temp", "--name", "juan's", "-S", "model.activation=gelu")
    before = len(all_trees(repository))
    assert repository.python("titles.tracking.sync").startswith("1 of DVC's experiments")
    assert repository.python("titles.tracking.sync").startswith("0 of DVC's experiments")
    assert len(all_trees(repository)) == before + 1
    tree = named(repository, "juan's")
    assert tree.parent.data.tags["titles.source"] == "dvc cache"
    assert "- model.activation: `relu` → `gelu`" in tree.parent.data.tags["mlflow.note.content"]
    assert tree.parent.data.metrics == experiments(repository)["juan's"]
    data = {given.dataset.name for given in tree.parent.inputs.dataset_inputs}
    assert data == {"data/demo", "data/word_vectors"}
    assert artifacts(repository, tree, "report") == ["report.html"]
    expected = named(repository, "aside").parent.data.params | {"model.activation": "gelu"}
    assert (tree.parent.data.params, tree.children, tree.parent.info.status) == (expected, {}, "FINISHED")


def test_the_runs_of_a_killed_stage_and_its_pipeline_are_marked_failed(repository: Repository) -> None:
    with held_training(repository, "killed") as (running, training):
        training.kill()
        assert "failed to reproduce 'train_mlp'" in repository.finish(running, status=255)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if (tree := named(repository, "killed")).parent.info.status == "FAILED":
            break
        time.sleep(0.2)
    assert tree.statuses == {"pipeline": "FAILED", "train_mlp": "FAILED"}
    assert tree.children["train_mlp"].data.tags["error"] == STAGE_KILLED
    assert tree.parent.data.tags["error"] == f"train_mlp: {STAGE_KILLED}"
