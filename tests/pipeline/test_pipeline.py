"""The complete pipeline, run by DVC on a small catalogue in a repository of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.repository import ALL, ROOT, Repository
from tests.tracking.tree import check_tree, predicted_by_champion, trees, with_null
from titles.inference.classifier import Classifier
from titles.mlflow_store.logged_model import best_epoch


def test_a_run_writes_metrics_and_models_of_both_networks(repository: Repository) -> None:
    assert set(repository.metrics()) == {"mlp", "cnn", "mean"}
    assert all(0 < metrics["balanced_accuracy"] <= 1 for metrics in repository.metrics().values())
    assert (repository.folder / "models/mlp/weights.safetensors").exists()
    assert (repository.folder / "data/predicted/test.parquet").exists()


def test_a_second_run_has_nothing_to_do(repository: Repository) -> None:
    assert "up to date" in repository.run("dvc", "repro")
    assert "up to date" in repository.run("dvc", "status")


def test_every_stage_has_a_run_nested_in_that_of_the_pipeline(repository: Repository) -> None:
    (tree,) = trees(f"sqlite:///{repository.folder}/mlflow.db")
    check_tree(repository, tree, ALL)
    assert tree.parent.info.run_name.startswith("repro 2")
    assert tree.parent.data.tags["dvc.experiment"] == "workspace"
    assert tree.parent.data.tags["mlflow.note.content"].startswith("`dvc repro` on commit ")
    assert [given.dataset.name for given in tree.parent.inputs.dataset_inputs] == ["data/demo", "data/word_vectors"]
    assert tree.children["prepare"].data.metrics["rows_in"] == 900
    rejected = tree.children["prepare"].data.metrics["rows_rejected"]
    assert tree.children["prepare"].data.metrics["rows_out"] == 900 - rejected


def test_a_network_is_logged_as_a_model_and_can_be_made_the_champion(
    repository: Repository, first_run: Path, tmp_path: Path
) -> None:
    before = artifacts(first_run)
    assert "version 1" in repository.python("titles.tracking.promote", "mlp")
    assert "version 2" in repository.python("titles.tracking.promote", "cnn")
    best = max(("cnn", "mlp"), key=lambda name: best_epoch(repository.folder / "models" / name)[1])
    assert f"{best}, balanced accuracy" in (again := repository.python("titles.tracking.promote"))
    assert f"version {['mlp', 'cnn'].index(best) + 1}" in again
    titles = ["Zapatilla deportiva", "mesa"]
    expected = Classifier.load(repository.folder / "models" / best).predict(titles, top=2)
    store = f"sqlite:///{repository.folder}/mlflow.db"
    assert predicted_by_champion(store, titles, tmp_path) == with_null(expected)
    # The repository is a copy. Its store must not change the artifacts of the original.
    assert artifacts(first_run) == before


def artifacts(checkout: Path) -> list[Path]:
    return sorted((checkout / "mlartifacts").rglob("*"))


@pytest.mark.parametrize(
    ("stage", "old", "new", "message"),
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
    repository: Repository, tmp_path: Path, stage: str, old: str, new: str, message: str
) -> None:
    for name in ("torch", "mlflow"):
        (tmp_path / f"{name}.py").write_text(f"raise RuntimeError('{name} was imported')")
    params = (repository.folder / "params.yaml").read_text()
    assert old in params
    (tmp_path / "params.yaml").write_text(params.replace(old, new))
    search_path = os.pathsep.join([str(tmp_path), str(ROOT)])
    arguments = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"][stage]["cmd"].split()[1:]
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": search_path, "TITLES_TRACKING": "off"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
