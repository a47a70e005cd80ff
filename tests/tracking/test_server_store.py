"""A real MLflow server with a real database as the store."""

from pathlib import Path

import pytest

from tests.repository import Repository
from tests.servers import MlflowServer
from tests.tracking.any_store import *  # noqa: F403 - its tests
from tests.tracking.any_store import encoded
from tests.tracking.checkout import END, leave
from tests.tracking.tree import trees
from titles.tracking.worker import upload_unsent

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def repository(server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A repository whose store has no runs yet."""
    return encoded(tmp_path_factory.mktemp("repository"), server.uri)


def test_runs_with_values_that_the_database_rejects_are_ended(
    server: MlflowServer, root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri.replace("//", "//ana:secret@"))
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "refused")
    params = {"params": {"embed": {"language": "es\0"}}, "sections": ["embed"]}
    # Only the hashes of DVC are logged without escaping.
    hashes = {"hashes": {"dep": {"data/demo": "a\0"}, "out": {}, "raw": {}}}
    leave(root, "embed", params, hashes, {"error": "InputError: train.csv, line 3: \0"}, END | {"end": "FAILED"})
    assert upload_unsent(root)
    assert "the hashes of embed could not be logged" in caplog.text
    assert "secret" not in caplog.text
    (tree,) = trees(server.uri, "refused")
    assert tree.statuses == {"pipeline": "FAILED", "embed": "FAILED"}
    embed = tree.children["embed"].data
    assert (embed.params["embed.language"], embed.tags["error"]) == (
        "es\\x00",
        "InputError: train.csv, line 3: \\x00",
    )
