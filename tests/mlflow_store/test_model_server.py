"""A logged model behind MLflow's own model server."""

import mlflow
import pytest
import requests

from tests.fitted import fit_both
from tests.servers import ModelServer
from titles.inference.classifier import Classifier
from titles.mlflow_store.logged_model import log_model

pytestmark = pytest.mark.services


def test_the_champion_on_an_mlflow_server_predicts_like_the_model_folder(tmp_path, monkeypatch):
    store, models = f"sqlite:///{tmp_path}/mlflow.db", fit_both(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    mlflow.set_tracking_uri(store)
    experiment = mlflow.create_experiment("titles", artifact_location=str(tmp_path / "artifacts"))
    client = mlflow.MlflowClient()
    run = client.create_run(experiment)
    model_id = log_model("mlp", models / "mlp", {}, run.info.run_id)
    version = mlflow.register_model(f"models:/{model_id}", "titles")
    client.set_registered_model_alias("titles", "champion", version.version)

    server = ModelServer("models:/titles@champion", store, tmp_path / "log")
    server.start()
    try:
        titles = ["Palabra1 palabra5", "", "¿palabra2?", "電話", None]
        content = {
            "dataframe_split": {"columns": ["title"], "data": [[title] for title in titles]},
            "params": {"top": 2},
        }
        reply = requests.post(f"{server.uri}/invocations", json=content, timeout=60)
        content = {"dataframe_records": [{"title": "palabra1"}, {"title": None}, {}]}
        records = requests.post(f"{server.uri}/invocations", json=content, timeout=60)
        too_few = requests.post(f"{server.uri}/invocations", json=content | {"params": {"top": 0}}, timeout=60)
        refused = requests.post(f"{server.uri}/invocations", json={"inputs": {"text": ["a"]}}, timeout=60)
    finally:
        server.kill()
    expected = Classifier.load(models / "mlp").predict(titles, top=2)
    rows = reply.json()["predictions"]
    for column in ("title", "category", "reason"):
        assert [row[column] for row in rows] == expected[column].astype(object).where(
            expected[column].notna(), None
        ).tolist()
    scores = [row["score"] for row in rows]
    assert [score for score in scores if score is not None] == pytest.approx(expected.score.dropna().tolist(), abs=1e-5)
    assert [score is None for score in scores] == expected.score.isna().tolist()
    # Records in JSON may lack the title.
    assert [row["reason"] for row in records.json()["predictions"]] == [None, "no title", "no title"]
    assert refused.status_code == too_few.status_code == 400
