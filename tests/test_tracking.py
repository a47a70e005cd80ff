from pathlib import Path

import pytest

from titles.tracking import EXPERIMENT, flat, main_root, tracked


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a store of its own."""
    (tmp_path / ".dvc").mkdir()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("TITLES_TRACKING", raising=False)
    return tmp_path


def test_nested_tables_get_the_keys_that_dvc_gives_them():
    assert dict(flat({"model": {"activation": "relu"}, "seed": 1})) == {"model.activation": "relu", "seed": 1}


def test_the_root_is_the_one_dvc_names(root: Path, monkeypatch: pytest.MonkeyPatch):
    elsewhere = root / ".dvc/tmp/exps/standalone/tmp1"
    elsewhere.mkdir(parents=True)
    monkeypatch.chdir(elsewhere)
    assert main_root() == root


@pytest.mark.parametrize("named", [None, "/bogus", "."])
def test_without_a_usable_name_the_root_is_above_a_temporary_experiment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str | None
):
    elsewhere = tmp_path / ".dvc/tmp/exps/tmp1"
    elsewhere.mkdir(parents=True)
    monkeypatch.chdir(elsewhere)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    if named:
        monkeypatch.setenv("DVC_ROOT", named)
    assert main_root() == tmp_path


def test_a_stage_that_is_done_and_one_that_fails_leave_their_runs(root: Path, tmp_path: Path):
    import mlflow

    table = tmp_path / "table.csv"
    table.write_text("a\n1\n")
    with tracked("reduce", {"reduce": {"fraction": 0.1}}) as run:
        run.log_metrics({"mlp": {"loss": 0.5}}, step=3)
        run.log_artifact(table)
    with pytest.raises(ZeroDivisionError), tracked("embed", {}):
        _ = 1 / 0
    client = mlflow.MlflowClient(f"sqlite:///{root}/mlflow.db")
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    runs = {found.info.run_name: found for found in client.search_runs([experiment.experiment_id])}
    assert runs["reduce"].info.status == "FINISHED"
    assert runs["reduce"].data.params == {"reduce.fraction": "0.1"}
    assert runs["reduce"].data.metrics == {"mlp.loss": 0.5}
    assert [found.path for found in client.list_artifacts(runs["reduce"].info.run_id)] == ["table.csv"]
    assert (root / "mlartifacts" / runs["reduce"].info.run_id / "artifacts" / "table.csv").exists()
    assert runs["embed"].info.status == "FAILED"
    assert runs["embed"].data.tags["error"] == "ZeroDivisionError: division by zero"


def test_tracking_can_be_off(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TITLES_TRACKING", "off")
    with tracked("reduce", {}) as run:
        run.log_metrics({"loss": 1})
        run.log_artifact(root / "not there")
    assert not (root / "mlflow.db").exists()


def test_what_the_store_does_not_take_costs_a_warning(root: Path, caplog: pytest.LogCaptureFixture):
    with tracked("reduce", {}) as run:
        run.run_id = "gone"
        run.log_metrics({"loss": 1})
    assert "log_batch failed, the stage goes on" in caplog.text
    assert "set_terminated failed, the stage goes on" in caplog.text


def test_names_and_errors_that_quote_a_file_of_any_kind_are_logged(root: Path):
    import mlflow

    with pytest.raises(ValueError, match="caf"), tracked("evaluate", {}) as run:
        run.log_metrics({"by_language": {"pt(BR)": 0.5, "español": 0.25}})
        raise ValueError("caf\udce9")
    client = mlflow.MlflowClient(f"sqlite:///{root}/mlflow.db")
    logged = client.get_run(run.run_id)
    assert logged.data.metrics == {"by_language.pt_BR_": 0.5, "by_language.español": 0.25}
    assert logged.data.tags["error"] == "ValueError: caf\\udce9"
