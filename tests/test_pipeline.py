"""The whole pipeline as a user runs it, by DVC, on a small catalogue in a repository of its own."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.repository import ALL, ROOT, TRAINED, Repository, committed, write_catalogue
from tests.tree import check_tree, predicted_by_champion, trees
from titles.classifier import Classifier
from titles.tracking.networks import best_epoch


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A small pipeline, run and committed, without a server."""
    made = committed(tmp_path_factory.mktemp("repository"))
    made.run("dvc", "repro", tracking="on")
    made.commit("first run")
    return made


@pytest.fixture
def baseline(repository: Repository) -> Iterator[Repository]:
    """The repository, put back afterwards the way the README shows."""
    yield repository
    repository.run("git", "checkout", "--quiet", ".")
    repository.run("dvc", "repro")
    assert repository.run("git", "status", "--porcelain", "--untracked-files=no") == ""


def test_a_run_leaves_metrics_and_models_of_both_networks(repository: Repository) -> None:
    assert set(repository.metrics()) == {"mlp", "cnn", "mean"}
    assert all(0 < metrics["balanced_accuracy"] <= 1 for metrics in repository.metrics().values())
    assert (repository.folder / "models/mlp/weights.safetensors").exists()
    assert (repository.folder / "data/predicted/test.parquet").exists()


def test_a_second_run_has_nothing_to_do(repository: Repository) -> None:
    assert "up to date" in repository.run("dvc", "repro")
    assert "up to date" in repository.run("dvc", "status")


def test_every_stage_has_its_run_below_one_of_the_pipeline(repository: Repository) -> None:
    (tree,) = trees(f"sqlite:///{repository.folder}/mlflow.db")
    check_tree(repository, tree, ALL)
    assert (tree.parent.info.run_name, tree.parent.data.tags["dvc.experiment"]) == ("repro", "workspace")
    assert tree.children["prepare"].data.metrics["rows_in"] == 900
    rejected = tree.children["prepare"].data.metrics["rows_rejected"]
    assert tree.children["prepare"].data.metrics["rows_out"] == 900 - rejected


def test_a_network_is_logged_as_a_model_and_can_be_made_the_champion(repository: Repository, tmp_path: Path) -> None:
    assert "version 1" in repository.python("titles.tracking.promote", "mlp")
    assert "version 2" in repository.python("titles.tracking.promote", "cnn")
    best = max(("cnn", "mlp"), key=lambda name: best_epoch(repository.folder / "models" / name)[1])
    assert f"{best}, balanced accuracy" in (again := repository.python("titles.tracking.promote"))
    assert f"version {['mlp', 'cnn'].index(best) + 1}" in again
    titles = ["Zapatilla deportiva", "mesa"]
    expected = Classifier.load(repository.folder / "models" / best).predict(titles, top=2)
    assert predicted_by_champion(f"sqlite:///{repository.folder}/mlflow.db", titles, tmp_path) == expected.to_dict(
        "list"
    )


def test_running_all_again_gives_the_same_bytes(repository: Repository) -> None:
    before = repository.lock()
    assert repository.stages_run_by("dvc", "repro", "--force") == ALL
    assert repository.lock() == before


def test_another_activation_trains_again_and_nothing_else_and_not_a_second_time(baseline: Repository) -> None:
    before = baseline.metrics()
    experiment = ("dvc", "exp", "run", "-S", "model.activation=sigmoid")
    assert baseline.stages_run_by(*experiment) == TRAINED
    assert baseline.metrics() != before
    assert "mlp.balanced_accuracy" in baseline.run("dvc", "metrics", "diff")
    charts = [next(iter(plot)) for plot in yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]]
    assert list(json.loads(baseline.run("dvc", "plots", "diff", "--json"))["data"]) == charts
    baseline.run("git", "checkout", "--quiet", ".")
    assert baseline.stages_run_by(*experiment) == ["evaluate"]


def test_a_folder_of_ones_own_runs_in_the_workspace_and_in_the_queue(baseline: Repository) -> None:
    write_catalogue(baseline.folder / "data/shop/portuguese.train.csv", rows=700, seed=2)
    baseline.run("dvc", "add", "data/shop")
    baseline.commit("a shop")
    experiment = ("dvc", "exp", "run", "-S", "data.raw=data/shop")
    assert baseline.stages_run_by(*experiment, "-S", "train.learning_rate=1e-5") == ALL
    assert "learning_rate: 1e-05" in (baseline.folder / "params.yaml").read_text()
    baseline.run(*experiment, "--queue", "--name", "queued", "-S", "model.activation=tanh")
    # The queue must run the code it was queued with, not what stands in the workspace by then.
    (baseline.folder / "src/titles/networks.py").write_text("raise RuntimeError('not my code')")
    baseline.run("dvc", "exp", "run", "--run-all", tracking="on")
    (tree,) = [
        tree for tree in trees(f"sqlite:///{baseline.folder}/mlflow.db") if tree.parent.info.run_name == "queued"
    ]
    assert set(tree.statuses.values()) == {"FINISHED"}
    assert tree.parent.data.tags["dvc.baseline"] == baseline.run("git", "rev-parse", "HEAD").strip()
    assert re.search(r"queued .* Success", baseline.run("dvc", "queue", "status"))
    shown = {row["name"]: row for row in json.loads(baseline.run("dvc", "exp", "show", "--json"))[1]["experiments"]}
    params = shown["queued"]["revs"][0]["data"]["params"]["params.yaml"]["data"]
    assert (params["data"]["raw"], params["model"]["activation"]) == ("data/shop", "tanh")


@pytest.mark.parametrize("way", ["add", "import-url", "import"])
def test_titles_may_come_by_any_way_dvc_knows_into_a_temporary_checkout(
    baseline: Repository, tmp_path: Path, way: str
) -> None:
    source = tmp_path / "source"
    write_catalogue(source / "spanish.test.csv", rows=600, seed=3)
    target = f"data/{way}/train.csv"
    (baseline.folder / target).parent.mkdir()
    if way == "add":
        shutil.copyfile(source / "spanish.test.csv", baseline.folder / target)
        baseline.run("dvc", "add", target)
    elif way == "import-url":
        baseline.run("dvc", "import-url", str(source / "spanish.test.csv"), target)
    else:
        publisher = Repository(source)
        publisher.run("git", "init", "--quiet")
        publisher.commit("titles")
        baseline.run("dvc", "import", str(source), "spanish.test.csv", "--out", target)
    baseline.commit(way)
    printed = baseline.run("dvc", "exp", "run", "--temp", "-S", f"data.raw=data/{way}", "prepare")
    assert "prepare: 600 read" in printed
    assert "passed over" not in printed


def test_a_clone_gets_data_and_models_from_a_remote_without_running_anything(
    repository: Repository, tmp_path: Path
) -> None:
    repository.run("dvc", "remote", "add", "--force", "--default", "storage", str(tmp_path / "storage"))
    repository.run("dvc", "push")
    repository.commit("a remote")
    repository.run("git", "clone", "--quiet", ".", str(tmp_path / "clone"))
    clone = Repository(tmp_path / "clone")
    clone.run("dvc", "pull")
    assert clone.stages_run_by("dvc", "repro") == []
    for path in ("models/mlp/weights.safetensors", "models/cnn/lexicon.json", "data/prepared/rejected.parquet"):
        assert (clone.folder / path).read_bytes() == (repository.folder / path).read_bytes()
    # No run of the clone logged a network, so this does.
    assert "cnn, balanced accuracy" in clone.python("titles.tracking.promote", "cnn")
    assert "version 1" in clone.python("titles.tracking.promote", "cnn")


@pytest.mark.parametrize(
    ("stage", "old", "new", "told"),
    [
        (
            "train_mlp",
            "activation: relu",
            "activation: banana",
            "model.activation is 'banana'; allowed: a word out of relu",
        ),
        ("train_cnn", "epochs: 2", "epochs: 0", "train.epochs is 0; allowed: a whole number in [1, inf)"),
        ("embed", "dimension:", "dimensions:", "embed.dimensions is not a parameter"),
        ("evaluate", "model:", "modle:", "the sections must be"),
    ],
)
def test_a_wrong_parameter_stops_a_stage_before_torch_or_mlflow_is_imported(
    repository: Repository, tmp_path: Path, stage: str, old: str, new: str, told: str
) -> None:
    for name in ("torch", "mlflow"):
        (tmp_path / f"{name}.py").write_text(f"raise RuntimeError('{name} was imported')")
    params = (repository.folder / "params.yaml").read_text()
    assert old in params
    (tmp_path / "params.yaml").write_text(params.replace(old, new))
    places = os.pathsep.join([str(tmp_path), str(ROOT)])
    arguments = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"][stage]["cmd"].split()[1:]
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": places, "TITLES_TRACKING": "off"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
