"""A tracking server that is killed while a pipeline runs."""

import re
from pathlib import Path

import pytest

from tests.repository import ALL, TRAINED, committed
from tests.servers import MlflowServer
from tests.tracking.any_store import EPOCHS, artifacts, held_training, named, with_hold
from tests.tracking.tree import check_tree

pytestmark = pytest.mark.services


def test_a_server_killed_during_training_causes_a_warning_and_sync_uploads_the_rest(
    server: MlflowServer, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    repository = with_hold(committed(tmp_path, server.uri))
    with held_training(repository, "orphaned") as (running, _):
        server.kill()
    printed = repository.finish(running)
    assert "train_mlp: MLflow does not answer, the stage continues" in printed
    for stage in TRAINED:
        assert re.search(rf"events of {stage} are not in MLflow yet; make sync sends them", printed)
    assert (repository.folder / "results/metrics.json").exists()
    server.start()
    assert repository.python("titles.tracking.sync").startswith("0 of DVC's experiments")
    tree = named(repository, "orphaned")
    check_tree(repository, tree, ALL)
    client = MlflowClient(server.uri)
    for stage in ("train_mlp", "train_cnn"):
        epochs = client.get_metric_history(tree.children[stage].info.run_id, "validation_balanced_accuracy")
        assert sorted(epoch.step for epoch in epochs) == list(range(1, EPOCHS + 1))
        assert tree.children[stage].outputs.model_outputs
    assert len(artifacts(repository, tree, "plots")) == 5
