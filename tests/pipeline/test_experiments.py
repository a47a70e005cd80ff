"""DVC experiments on a small catalogue in a repository of its own."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.repository import ROOT, TRAINED, Repository, write_catalogue
from tests.tracking.tree import trees


@pytest.fixture
def baseline(repository: Repository) -> Iterator[Repository]:
    """The repository, restored afterwards by `git checkout` and `dvc repro`."""
    yield repository
    repository.run("git", "checkout", "--quiet", ".")
    repository.run("dvc", "repro")
    assert repository.run("git", "status", "--porcelain", "--untracked-files=no") == ""


def test_another_activation_runs_only_the_training_stages_and_comes_from_the_cache_the_second_time(
    baseline: Repository,
) -> None:
    before = baseline.metrics()
    experiment = ("dvc", "exp", "run", "-S", "model.activation=sigmoid")
    assert baseline.stages_run_by(*experiment) == TRAINED
    assert baseline.metrics() != before
    changed = baseline.run("git", "diff", "--unified=0", "params.yaml").splitlines()[-2:]
    assert changed == ["-  activation: relu", "+  activation: sigmoid"]
    assert "mlp.balanced_accuracy" in baseline.run("dvc", "metrics", "diff")
    charts = [next(iter(plot)) for plot in yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]]
    assert list(json.loads(baseline.run("dvc", "plots", "diff", "--json"))["data"]) == charts
    baseline.run("git", "checkout", "--quiet", ".")
    assert baseline.stages_run_by(*experiment) == ["evaluate"]


def test_a_user_data_folder_runs_in_the_workspace_and_in_the_queue(baseline: Repository) -> None:
    # A name with characters that a shell expands.
    shop = "data/oferta $x"
    write_catalogue(baseline.folder / shop / "portuguese.train.csv", rows=700, seed=2)
    baseline.run("dvc", "add", shop)
    baseline.commit("a shop")
    experiment = ("dvc", "exp", "run", "-S", f"data.raw={shop}")
    assert baseline.stages_run_by(*experiment, "-S", "train.learning_rate=1e-5", "prepare") == ["prepare"]
    assert "learning_rate: 1e-05" in (baseline.folder / "params.yaml").read_text()
    baseline.run(*experiment, "--queue", "--name", "queued", "-S", "model.activation=tanh")
    # The queue must run the code of the time of queueing, not the current code of the workspace.
    (baseline.folder / "src/titles/nn/networks.py").write_text("raise RuntimeError('not my code')")
    baseline.run("dvc", "exp", "run", "--run-all", tracking="on")
    (tree,) = [
        tree for tree in trees(f"sqlite:///{baseline.folder}/mlflow.db") if tree.parent.info.run_name == "queued"
    ]
    assert set(tree.statuses.values()) == {"FINISHED"}
    assert tree.parent.data.tags["dvc.baseline"] == baseline.run("git", "rev-parse", "HEAD").strip()
    assert re.search(r"queued .* Success", baseline.run("dvc", "queue", "status"))
    shown = {row["name"]: row for row in json.loads(baseline.run("dvc", "exp", "show", "--json"))[1]["experiments"]}
    params = shown["queued"]["revs"][0]["data"]["params"]["params.yaml"]["data"]
    assert (params["data"]["raw"], params["model"]["activation"]) == (shop, "tanh")


@pytest.mark.parametrize("command", ["add", "import-url", "import"])
def test_data_added_or_imported_with_dvc_is_available_in_a_temporary_checkout(
    baseline: Repository, tmp_path: Path, command: str
) -> None:
    source = tmp_path / "source"
    write_catalogue(source / "spanish.test.csv", rows=600, seed=3)
    target = f"data/{command}/train.csv"
    (baseline.folder / target).parent.mkdir()
    if command == "add":
        shutil.copyfile(source / "spanish.test.csv", baseline.folder / target)
        baseline.run("dvc", "add", target)
    elif command == "import-url":
        baseline.run("dvc", "import-url", str(source / "spanish.test.csv"), target)
    else:
        publisher = Repository(source)
        publisher.run("git", "init", "--quiet")
        publisher.commit("titles")
        baseline.run("dvc", "import", str(source), "spanish.test.csv", "--out", target)
    baseline.commit(command)
    printed = baseline.run("dvc", "exp", "run", "--temp", "-S", f"data.raw=data/{command}", "prepare")
    assert "prepare: 600 read" in printed
    assert "prepare: skipped" not in printed
