"""The experiment of the store, and the search for runs in it."""

import os
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.tracking.checkout import leave, send
from titles.core.errors import InputError
from titles.mlflow_store.store import Store
from titles.tracking.pipeline_run import PipelineRun
from titles.tracking.run import start_run
from titles.tracking.uploader import connect
from titles.tracking.worker import upload_unsent

ODD = ["juan's", 'the "best"', "a'b\"c", "50%_done", r"a\b", "año;--", "juan_s"]


def test_a_run_is_found_by_any_name_but_not_by_a_similar_one(root: Path):
    store = Store(root)
    created = {name: store.find_or_create(name, {"dvc.experiment": name}, {}, 1000) for name in ODD}
    assert len(set(created.values())) == len(ODD)
    assert {name: [run.info.run_id for run in store.search_runs({"dvc.experiment": name})] for name in ODD} == {
        name: [run_id] for name, run_id in created.items()
    }


def test_a_name_is_cut_to_what_a_database_takes(root: Path):
    store = Store(root)
    run_id = store.find_or_create("x" * 300, {"dvc.experiment": "long"}, {}, 1000)
    assert store.client.get_run(run_id).info.run_name == "x" * 250


def test_the_error_for_a_deleted_experiment_has_the_command_that_restores_it(root: Path):
    store = Store(root)
    store.client.delete_experiment(store.experiment_id)
    command = f"MLFLOW_TRACKING_URI=sqlite:///{root}/mlflow.db mlflow experiments restore --experiment-id"
    with pytest.raises(InputError, match=f"titles was deleted in MLflow; restore it: {command} {store.experiment_id};"):
        connect(root)
    store.client.restore_experiment(store.experiment_id)
    assert connect(root).experiment_id == store.experiment_id


def test_runs_go_to_the_experiment_of_that_name_also_when_sent_later(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "shop")
    leave(root, "embed")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")
    assert send(root, "prepare")
    assert upload_unsent(root)
    client = MlflowClient()
    runs = {
        name: {run.info.run_name for run in client.search_runs([client.get_experiment_by_name(name).experiment_id])}
        for name in ("shop", "titles")
    }
    assert runs == {"shop": {"repro", "embed"}, "titles": {"repro", "prepare"}}


def test_an_id_selects_the_experiment_unless_a_name_is_set(root: Path, monkeypatch: pytest.MonkeyPatch):
    client = MlflowClient(f"sqlite:///{root}/mlflow.db")
    shop = client.create_experiment("shop", (root / "mlartifacts").as_uri())
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", shop)
    store = Store(root)
    # MLflow sets this variable to the experiment that is active.
    assert (store.experiment_id, os.environ["MLFLOW_EXPERIMENT_ID"]) == (shop, shop)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "titles")
    assert Store(root).experiment_id == client.get_experiment_by_name("titles").experiment_id != shop
    assert os.environ["MLFLOW_EXPERIMENT_ID"] == shop
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID")
    Store(root)
    assert "MLFLOW_EXPERIMENT_ID" not in os.environ


def test_a_stage_logs_to_the_experiment_of_that_id_also_when_sent_later(root: Path, monkeypatch: pytest.MonkeyPatch):
    client = MlflowClient(f"sqlite:///{root}/mlflow.db")
    shop = client.create_experiment("shop", (root / "mlartifacts").as_uri())
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", shop)
    with start_run("prepare", []) as run:
        run.log_metrics({"rows_in": 5})
    spool = leave(root, "embed")
    spool.begin["experiment_id"] = shop
    spool.save()
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID")
    assert upload_unsent(root)
    assert {run.info.run_name for run in client.search_runs([shop])} >= {"prepare", "embed"}
    assert client.get_experiment_by_name("titles") is None


@pytest.mark.parametrize("experiment_id", ["7", "shop"])
def test_an_id_that_no_experiment_has_is_an_error_that_names_the_variable(
    root: Path, monkeypatch: pytest.MonkeyPatch, experiment_id: str
):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment_id)
    with pytest.raises(InputError, match=f"MLFLOW_EXPERIMENT_ID is '{experiment_id}', which is the id of no"):
        connect(root)


def test_the_experiment_has_the_kind_that_shows_runs_unless_a_user_chose_another(root: Path):
    store = Store(root)
    experiment = store.client.get_experiment(store.experiment_id)
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    assert "run of the DVC pipeline" in experiment.tags["mlflow.note.content"]
    store.client.set_experiment_tag(store.experiment_id, "mlflow.experimentKind", "genai_development")
    assert Store(root).client.get_experiment(store.experiment_id).tags["mlflow.experimentKind"] == "genai_development"


def test_an_older_experiment_gets_the_kind(root: Path):
    experiment_id = MlflowClient(f"sqlite:///{root}/mlflow.db").create_experiment("titles")
    assert Store(root).client.get_experiment(experiment_id).tags["mlflow.experimentKind"] == "custom_model_development"


def test_a_run_has_its_user_and_source_as_tags(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ana")
    pipeline = PipelineRun.from_current_process()
    store = Store(root)
    runs = store.find_or_create_stage_run(
        {"stage": "embed", "time": 1000, "pipeline": {"key": "k", "name": "repro", "tags": pipeline.tags}}
    )
    tags = [store.client.get_run(run_id).data.tags for run_id in runs]
    assert [tag["mlflow.source.name"] for tag in tags] == ["dvc.yaml", "stages/embed.py"]
    assert {(tag["mlflow.user"], tag["mlflow.source.type"]) for tag in tags} == {("ana", "LOCAL")}
