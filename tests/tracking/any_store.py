"""What holds of the pipeline and its store, whichever it is, when much happens at once, or goes wrong.

The tests of a store are those of the file that has its `repository` and takes these in.
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


def numbered(folder: Path, store: str | None) -> Repository:
    """Its titles are numbered and it is committed; nothing of it is in its store, which need not be there."""
    made = with_hold(committed(folder, store))
    made.run("dvc", "repro", "embed")
    made.commit("numbered titles")
    return made


def with_hold(repository: Repository) -> Repository:
    """Let `train_mlp` wait at the end of its second epoch for as long as there is the file `HOLD`."""
    stage = repository.folder / "stages/train_mlp.py"
    code = stage.read_text()
    assert code.count("folder, run, ") == code.count("\nif __name__") == 1
    stage.write_text(code.replace("folder, run, ", "folder, holding(run), ").replace("\nif __name__", HOLDING))
    repository.commit("a training that can be held")
    return repository


@contextmanager
def held_training(repository: Repository, name: str) -> Iterator[tuple[subprocess.Popen[bytes], psutil.Process]]:
    """`dvc exp run`, and the process of its `train_mlp`, which waits after its second epoch."""
    hold = repository.folder / HOLD
    hold.parent.mkdir(parents=True, exist_ok=True)
    hold.touch()
    try:
        running = repository.start("dvc", "exp", "run", "--name", name, *LONG, tracking="on")
        yield running, under_training(repository, name)
    finally:
        hold.unlink()


def found(repository: Repository) -> list[Tree]:
    return trees(repository.store or f"sqlite:///{repository.folder}/mlflow.db")


def named(repository: Repository, name: str) -> Tree:
    (tree,) = [tree for tree in found(repository) if tree.parent.data.tags["dvc.experiment"] == name]
    return tree


def artifacts(repository: Repository, tree: Tree, folder: str) -> list[str]:
    from mlflow import MlflowClient

    client = MlflowClient(repository.store or f"sqlite:///{repository.folder}/mlflow.db")
    return [Path(file.path).name for file in client.list_artifacts(tree.parent.info.run_id, folder)]


def experiments(repository: Repository) -> dict[str, dict[str, object]]:
    """The metrics of each experiment as DVC keeps them."""
    shown = json.loads(repository.run("dvc", "exp", "show", "--json"))
    return {
        row["name"]: dict(flatten(row["revs"][0]["data"]["metrics"]["results/metrics.json"]["data"]))
        for baseline in shown
        for row in baseline["experiments"] or ()
    }


def under_training(repository: Repository, name: str) -> psutil.Process:
    """The process of train_mlp once an epoch of the experiment is in the store."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        time.sleep(0.1)
        for tree in found(repository):
            child = tree.children.get("train_mlp")
            if tree.parent.info.run_name == name and child and "train_loss" in child.data.metrics:
                (process,) = [
                    process
                    for process in psutil.process_iter(["cmdline", "cwd"])
                    # A process of another user, or one that has ended, tells neither.
                    if (process.info["cmdline"] or [])[1:3] == ["-m", "stages.train_mlp"]
                    and process.info["cwd"] == str(repository.folder)
                ]
                return process
    pytest.fail(f"{name} never came to train")


def test_two_experiments_at_once_share_a_store_that_is_not_there_yet(repository: Repository) -> None:
    for activation in ("sigmoid", "tanh"):
        settings = ("-S", f"model.activation={activation}")
        repository.run("dvc", "exp", "run", "--queue", "--name", f"queued-{activation}", *settings)
    repository.run("dvc", "exp", "run", "--run-all", "--jobs", "2", tracking="on")
    repository.run("dvc", "queue", "stop", "--kill")
    assert len(re.findall("Success", repository.run("dvc", "queue", "status"))) == 2
    kept = experiments(repository)
    assert {tree.parent.info.run_name for tree in found(repository)} == set(kept) == {"queued-sigmoid", "queued-tanh"}
    for name, metrics in kept.items():
        tree = named(repository, name)
        assert tree.statuses == dict.fromkeys(["pipeline", *TRAINED], "FINISHED")
        assert tree.parent.data.metrics == metrics
        assert tree.parent.data.params["model.activation"] == name.removeprefix("queued-")
        assert artifacts(repository, tree, "report") == ["report.html"]
        assert len(artifacts(repository, tree, "tables")) == 8
        assert len(artifacts(repository, tree, "plots")) == 5


def test_a_run_in_the_workspace_has_all_that_dvc_has(repository: Repository) -> None:
    assert repository.stages_run_by("dvc", "repro", tracking="on") == TRAINED
    tree = named(repository, "workspace")
    assert re.fullmatch(r"repro \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", tree.parent.info.run_name)
    check_tree(repository, tree, TRAINED)
    assert all("system/cpu_utilization_percentage" in run.data.metrics for run in tree.children.values())
    repository.commit("first run")
    assert "up to date" in repository.run("dvc", "status", tracking="on")
    assert "up to date" in repository.run("dvc", "repro", tracking="on")
    assert named(repository, "workspace").parent.info.run_id == tree.parent.info.run_id


def test_the_champion_predicts_in_a_process_that_knows_nothing_of_the_project(
    repository: Repository, tmp_path: Path
) -> None:
    repository.python("titles.tracking.promote", "cnn")
    titles = ["Zapatilla deportiva", "", "mesa"]
    expected = Classifier.load(repository.folder / "models/cnn").predict(titles, top=2)
    store = repository.store or f"sqlite:///{repository.folder}/mlflow.db"
    assert predicted_by_champion(store, titles, tmp_path) == with_null(expected)


def test_a_temporary_experiment_leaves_its_runs_with_their_artifacts(repository: Repository) -> None:
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


def test_a_refused_temporary_experiment_leaves_its_run_with_the_error(repository: Repository) -> None:
    settings = ("--name", "refused", "-S", "model.activation=banana")
    repository.run("dvc", "exp", "run", "--temp", *settings, tracking="on", status=None)
    tree = named(repository, "refused")
    assert tree.statuses == {"pipeline": "FAILED", "train_mlp": "FAILED"}
    assert "model.activation is 'banana'" in tree.children["train_mlp"].data.tags["error"]


def test_an_experiment_that_logged_nothing_gets_its_run_once(repository: Repository) -> None:
    repository.run("dvc", "exp", "run", "--temp", "--name", "juan's", "-S", "model.activation=gelu")
    before = len(found(repository))
    assert repository.python("titles.tracking.sync").startswith("1 of DVC's experiments")
    assert repository.python("titles.tracking.sync").startswith("0 of DVC's experiments")
    assert len(found(repository)) == before + 1
    tree = named(repository, "juan's")
    assert tree.parent.data.tags["titles.source"] == "dvc cache"
    assert "- model.activation: `relu` → `gelu`" in tree.parent.data.tags["mlflow.note.content"]
    assert tree.parent.data.metrics == experiments(repository)["juan's"]
    data = {given.dataset.name for given in tree.parent.inputs.dataset_inputs}
    assert data == {"data/demo", "data/word_vectors"}
    assert artifacts(repository, tree, "report") == ["report.html"]
    expected = named(repository, "aside").parent.data.params | {"model.activation": "gelu"}
    assert (tree.parent.data.params, tree.children, tree.parent.info.status) == (expected, {}, "FINISHED")


def test_a_stage_that_is_killed_leaves_its_run_and_the_parent_failed(repository: Repository) -> None:
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
