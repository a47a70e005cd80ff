"""Files and models while the artifact store cannot be reached and the database can."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import requests
from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus

from tests.servers import free_port
from tests.tracking.checkout import END, leave
from tests.tracking.tree import Tree, trees
from titles.mlflow_store.outage import is_outage
from titles.tracking.spool import Spool, unsent_spools
from titles.tracking.uploader import Uploader
from titles.tracking.worker import upload_unsent

ROWS = {"metrics": {"rows_in": 5}, "step": 0, "time": 1500}
RESULTS = {"metrics": {"accuracy": 0.5}, "step": 0, "time": 1600}


class ArtifactHandler(BaseHTTPRequestHandler):
    """Keep the names of uploaded files; list none."""

    uploaded: list[str]

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.uploaded.append(self.path.rpartition("/")[2])
        self._reply(b"{}")

    def do_GET(self) -> None:
        self._reply(b'{"files": []}')

    def _reply(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def port(root: Path) -> int:
    """The port of the artifact store, where no server listens yet."""
    port = free_port()
    location = f"http://127.0.0.1:{port}/api/2.0/mlflow-artifacts/artifacts/1"
    MlflowClient(f"sqlite:///{root}/mlflow.db").create_experiment("titles", location)
    return port


@contextmanager
def artifact_server(port: int) -> Iterator[list[str]]:
    handler = type("Handler", (ArtifactHandler,), {"uploaded": []})
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield handler.uploaded
        server.shutdown()
        thread.join()


def spool_files(root: Path) -> Spool:
    """The spool of a stage with metrics and a file."""
    spool = leave(root, "evaluate", ROWS)
    (table := root / "table.csv").write_text("first")
    spool.add({"files": [spool.copy_files("tables", [table])]})
    return spool


def spool_files_and_model(root: Path) -> Spool:
    """The spool of a stage with metrics before and after a file and a model, and an end."""
    spool = spool_files(root)
    (model := root / "model").mkdir()
    (model / "history.csv").write_text("epoch,validation_balanced_accuracy\n1,0.5\n")
    (model / "network.json").write_text('{"epoch": 1, "train": {"objective": "accuracy"}}')
    spool.add({"network": "mlp", "folder": spool.copy_files("mlp", model.iterdir()), "hash": ""})
    spool.add(RESULTS)
    spool.add(END)
    return spool


def only_tree(root: Path) -> Tree:
    (tree,) = trees(f"sqlite:///{root}/mlflow.db")
    return tree


def test_files_and_models_wait_for_the_artifact_store_and_all_else_is_logged(
    root: Path, port: int, caplog: pytest.LogCaptureFixture
):
    spool_files_and_model(root)
    assert not upload_unsent(root)
    assert "MLflow's artifact store does not answer, the stage continues; the files will be sent later" in caplog.text
    assert "3 events of evaluate are not in MLflow yet" in caplog.text
    for _ in range(2):
        tree = only_tree(root)
        assert tree.statuses == {"pipeline": "FINISHED", "evaluate": "FINISHED"}
        evaluate = tree.children["evaluate"]
        assert evaluate.data.metrics == {"rows_in": 5, "accuracy": 0.5}
        assert not [tag for tag in evaluate.data.tags if tag.startswith(("titles.missing", "error"))]
        assert not evaluate.outputs.model_outputs
        assert not upload_unsent(root)
    with artifact_server(port) as uploaded:
        assert upload_unsent(root)
        assert {"table.csv", "MLmodel", "network.json"} <= set(uploaded)
    tree = only_tree(root)
    assert tree.statuses == {"pipeline": "FINISHED", "evaluate": "FINISHED"}
    (model,) = MlflowClient().search_logged_models([tree.parent.info.experiment_id])
    assert model.status == LoggedModelStatus.READY
    assert list(unsent_spools(root)) == []


def test_an_artifact_store_that_does_not_answer_in_time_is_an_outage(
    root: Path, port: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    spool_files_and_model(root)
    with socket.create_server(("127.0.0.1", port)):
        assert not upload_unsent(root)
    (spool,) = unsent_spools(root)
    assert [next(iter(event)) for event in spool.pending] == ["files", "network", "end"]


def test_an_artifact_store_that_comes_back_during_a_stage_gets_the_files(
    root: Path, port: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("titles.tracking.uploader.RETRY_SECONDS", 0)
    spool = spool_files(root)
    spool.add(RESULTS)
    spool.lock.acquire()
    uploader = Uploader(root, spool)
    assert not uploader.try_upload()
    assert only_tree(root).children["evaluate"].data.metrics == {"rows_in": 5, "accuracy": 0.5}
    with artifact_server(port) as uploaded:
        assert uploader.try_upload()
        assert uploaded == ["table.csv"]
    spool.add(END)
    assert uploader.finish()
    assert only_tree(root).statuses == {"pipeline": "FINISHED", "evaluate": "FINISHED"}


@pytest.mark.parametrize(
    "cause", [ConnectionRefusedError(), TimeoutError(), requests.ConnectionError(), requests.ReadTimeout()]
)
def test_an_outage_is_recognized_by_the_chain_of_errors(cause: Exception):
    try:
        try:
            raise cause
        except Exception:
            raise RuntimeError("the upload failed")  # noqa: B904 - MLflow does this
    except RuntimeError as error:
        assert is_outage(error)


def test_a_refusal_is_no_outage():
    refusal = RuntimeError("the upload failed")
    refusal.__cause__ = requests.HTTPError("403 Forbidden")
    assert not is_outage(refusal)
