"""Checkouts in folders with special characters of URLs, SQL, shells or glob patterns in their names."""

from pathlib import Path

import ibis
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.utils.validation import _validate_tag_name
from sqlalchemy import make_url

from tests.numbered import write_numbered
from tests.test_stage import run_stage
from tests.tracking.tree import trees
from titles.mlflow_store.paths import sqlite_uri, tracking_uri
from titles.mlflow_store.values import as_key
from titles.preprocessing.engine import connect, read_parquet, read_partition, write_parquet, write_partitions

# Each folder name with another name that it would match as a URL or a glob pattern.
FOLDERS = {
    "50%2Foff": "50/off",
    "a? b": "ab b",
    "a#b": "a",
    "niño": "nino",
    "it's": "its",
    'say "so"': "say so",
    """it's "so\"""": "its so",
    "[ab]": "a",
    "a*b": "ab",
    "{a,b}": "a",
    "year=2026": "year",
    "$HOME": "HOME",
    "a&b;c": "a",
}


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1))
def test_the_url_of_a_database_file_names_that_file(name: str) -> None:
    path = Path("/home") / name / "mlflow.db"
    assert make_url(sqlite_uri(path)).database == str(path)


def test_the_options_of_a_database_url_of_the_user_are_preserved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///runs/mlflow.db?timeout=30")
    url = make_url(tracking_uri(Path("/home/50%2F?")))
    assert (url.database, dict(url.query)) == ("/home/50%2F?/runs/mlflow.db", {"timeout": "30"})


@pytest.mark.parametrize("path", ["data/oferta $x", "data/a, b (ñ) #1", "../50%/it's", "data/" + "x" * 300])
def test_mlflow_accepts_the_name_of_any_folder_as_a_tag(path: str) -> None:
    key = as_key(f"dvc.dep.{path}")
    _validate_tag_name(key)
    assert key.startswith("dvc.dep.")


@pytest.mark.parametrize("name", FOLDERS)
def test_the_engine_reads_and_writes_only_that_folder(tmp_path: Path, name: str) -> None:
    (folder := tmp_path / name).mkdir()
    (other := tmp_path / FOLDERS[name]).mkdir(parents=True)
    for partition in (folder / "parts/partition_id=b", other / "parts/partition_id=b"):
        partition.mkdir(parents=True)
        pd.DataFrame({"title": ["of another"], "partition_id": ["b"]}).to_parquet(partition / "0.parquet")
    pd.DataFrame({"title": ["of another"]}).to_parquet(other / "rows.parquet")
    rows = ibis.memtable({"title": ["mesa", "silla"], "partition_id": ["a", "c"]})
    with connect(folder) as (engine, scratch):
        assert scratch.parent == folder
        rows = engine.create_table("rows", rows)
        write_parquet(engine, rows, folder / "rows.parquet", "writing")
        write_partitions(engine, rows, folder / "new", "writing")
        written = read_parquet(engine, folder / "rows.parquet")
        assert written.to_pyarrow().to_pydict() == {"title": ["mesa", "silla"], "partition_id": ["a", "c"]}
        for partition, title in {"a": "mesa", "c": "silla"}.items():
            assert read_partition(engine, folder / "new", partition).to_pyarrow().to_pydict() == {"title": [title]}
        assert read_partition(engine, folder / "parts", "b").count().execute() == 1
        assert read_partition(engine, folder / "parts", "a") is None


def test_a_stage_writes_its_store_and_artifacts_only_to_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = tmp_path / """50%2F a? #ñ 'it"s [b]*\"""" / "year=2026"
    (checkout / ".dvc").mkdir(parents=True)
    write_numbered(checkout, train=60, validation=20)
    few = {"  epochs: 8\n": "  epochs: 1\n", "  min_steps: 400\n": "  min_steps: 1\n"}
    done = run_stage(checkout, "train_mlp", "embedded", "vectors.npy", "models/mlp", tracking="on", changes=few)
    assert done.returncode == 0, done.stderr
    monkeypatch.chdir(checkout)
    (tree,) = trees("sqlite:///mlflow.db")
    assert tree.statuses == {"pipeline": "FINISHED", "train_mlp": "FINISHED"}
    (model,) = MlflowClient("sqlite:///mlflow.db").search_logged_models([tree.parent.info.experiment_id])
    assert model.artifact_location == (checkout / "mlartifacts/models" / model.model_id / "artifacts").as_uri()
    assert list((checkout / "mlartifacts").rglob("weights.safetensors"))
    assert [path for path in tmp_path.rglob("*") if path.is_file() and checkout not in path.parents] == []
