"""Checkouts moved or copied with their store."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import mlflow
import pytest

from tests.tracking.checkout import leave, send
from titles.core.errors import InputError
from titles.mlflow_store.logged_model import log_model
from titles.mlflow_store.store import Store
from titles.tracking.uploader import connect
from titles.tracking.worker import upload_unsent


@pytest.fixture
def original(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with a model folder."""
    folder = tmp_path_factory.mktemp("checkouts") / "año 50% #1"
    shutil.copytree(root, folder)
    model = folder / "model"
    model.mkdir()
    (model / "history.csv").write_text("epoch,validation_balanced_accuracy\n1,0.5\n")
    (model / "network.json").write_text('{"epoch": 1, "train": {"objective": "accuracy"}}')
    return folder


def fill(original: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Add a run with a file and a registered model to its store."""
    monkeypatch.setenv("DVC_ROOT", str(original))
    spool = leave(original, "evaluate")
    (table := original / "table.csv").write_text("first")
    spool.add({"files": [spool.copy_files("tables", [table])]})
    assert upload_unsent(original)
    mlflow.register_model(f"models:/{log_model('mlp', original / 'model', {})}", "titles")


def paths(checkout: Path) -> set[str]:
    """All paths of artifacts in the store."""
    columns = [
        ("experiments", "artifact_location"),
        ("runs", "artifact_uri"),
        ("logged_models", "artifact_location"),
        ("model_versions", "storage_location"),
    ]
    with closing(sqlite3.connect(checkout / "mlflow.db")) as connection:
        return {row[0] for table, column in columns for row in connection.execute(f"SELECT {column} FROM {table}")}


def files(checkout: Path) -> set[Path]:
    return {path.relative_to(checkout) for path in (checkout / "mlartifacts").rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["copy", "año 50% #12"])
def test_a_copied_checkout_has_artifacts_of_its_own(original: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    fill(original, monkeypatch)
    copy = original.with_name(name)
    shutil.copytree(original, copy)
    before = files(original), (original / "mlflow.db").read_bytes()
    monkeypatch.setenv("DVC_ROOT", str(copy))
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert send(copy, "prepare")
    log_model("cnn", copy / "model", {})
    assert (files(original), (original / "mlflow.db").read_bytes()) == before
    copied = {path for path in paths(copy) if "mlartifacts" in path}
    assert len(copied) >= 5
    assert {path for path in copied if not path.startswith(f"{copy.as_uri()}/")} == set()
    shutil.rmtree(original)
    store = connect(copy)
    downloaded = [
        Path(store.client.download_artifacts(run.info.run_id, "tables/table.csv")).read_text()
        for run in store.search_runs({"titles.pipeline": "boot-0-1"})
    ]
    assert downloaded == ["first"]
    assert mlflow.models.get_model_info("models:/titles/1").flavors
    connect(copy)
    assert {path for path in paths(copy) if "mlartifacts" in path} == copied


def test_the_spool_of_a_moved_checkout_is_sent_to_its_store(original: Path, monkeypatch: pytest.MonkeyPatch):
    spool = leave(original, "evaluate")
    (table := original / "table.csv").write_text("first")
    spool.add({"files": [spool.copy_files("tables", [table])]})
    moved = original.rename(original.with_name("moved"))
    monkeypatch.setenv("DVC_ROOT", str(moved))
    assert upload_unsent(moved)
    (run,) = connect(moved).search_runs({"titles.pipeline": "boot-0-1"})
    assert [file.path for file in mlflow.MlflowClient().list_artifacts(run.info.run_id, "tables")] == [
        "tables/table.csv"
    ]


def test_a_store_copied_without_its_artifacts_is_an_error(original: Path, monkeypatch: pytest.MonkeyPatch):
    fill(original, monkeypatch)
    copy = original.with_name("copy")
    copy.mkdir()
    shutil.copyfile(original / "mlflow.db", copy / "mlflow.db")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(InputError, match=r"was copied from .* without its artifacts; copy .*mlartifacts to .*copy"):
        connect(copy)


def test_a_link_to_a_checkout_does_not_relocate_its_store(original: Path, monkeypatch: pytest.MonkeyPatch):
    fill(original, monkeypatch)
    before = paths(original)
    link = original.with_name("link")
    link.symlink_to(original)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    Store(link)
    assert paths(original) == before
