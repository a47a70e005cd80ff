"""Runs that stages log to the embedded store through the tracking worker they start."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from tests.repository import SECONDS
from tests.tracking.tree import Tree, trees
from titles.core.errors import InputError
from titles.mlflow_store.paths import main_root, spool_folder, tracking_uri
from titles.tracking.pipeline_run import PipelineRun, _is_dvc, is_alive
from titles.tracking.run import log_failed_run, start_run
from titles.tracking.spool import Spool, unsent_spools
from titles.tracking.worker import STAGE_KILLED, WORKER_KILLED, ensure_end, upload_unsent

SOURCE = Path(__file__).parents[2] / "src"


def only_tree(root: Path) -> Tree:
    (tree,) = trees(f"sqlite:///{root}/mlflow.db")
    return tree


def wait_for_status(root: Path, stage: str, status: str) -> Tree:
    """Return the only tree once the run of the stage, which ends asynchronously, has that status."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        # Read before the runs: the status of the parent is written after that of the stage.
        is_uploaded = not any(spool_folder(root).glob("*/*"))
        logged = trees(f"sqlite:///{root}/mlflow.db")
        if is_uploaded and logged and logged[0].statuses.get(stage) == status:
            return logged[0]
        time.sleep(0.2)
    pytest.fail(f"{stage} is not {status}: {logged and logged[0].statuses}")


def test_the_root_is_dvc_root_if_that_is_set(root: Path, monkeypatch: pytest.MonkeyPatch):
    nested = root / ".dvc/tmp/exps/standalone/tmp1"
    nested.mkdir(parents=True)
    monkeypatch.chdir(nested)
    assert main_root() == root


@pytest.mark.parametrize("dvc_root", [None, "/bogus", "."])
def test_without_a_valid_dvc_root_the_root_is_above_a_temporary_experiment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dvc_root: str | None
):
    nested = tmp_path / ".dvc/tmp/exps/tmp1"
    nested.mkdir(parents=True)
    monkeypatch.chdir(nested)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    if dvc_root:
        monkeypatch.setenv("DVC_ROOT", dvc_root)
    assert main_root() == tmp_path


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["/venv/bin/python", "/venv/bin/dvc", "repro"], True),
        (["dvc", "exp", "run"], True),
        (["python3", "-m", "dvc", "repro"], True),
        (["/home/me/dvc/.venv/bin/python", "-m", "stages.reduce"], False),
        (["/bin/sh", "-c", "python -m stages.reduce data/dvc"], False),
        (["python", "-m", "pytest", "dvc"], False),
        ([], False),
    ],
)
def test_dvc_is_recognised_by_its_command(command: list[str], expected: bool):
    assert _is_dvc(SimpleNamespace(cmdline=lambda: command)) is expected  # type: ignore[arg-type]


def test_a_pipeline_is_alive_while_the_process_of_its_key_is(root: Path):
    key = PipelineRun.from_current_process().key
    assert is_alive(key)
    assert not is_alive(f"{key}1")


@pytest.mark.usefixtures("worker_thread")
def test_the_run_of_a_stage_is_nested_in_that_of_the_pipeline(root: Path):
    with start_run("reduce", ["reduce", "model"]) as run:
        run.log_metrics({"mlp": {"loss": 0.5}}, step=3)
        run.log_metrics({"mlp": {"loss": 0.25}}, step=4)
    tree = only_tree(root)
    assert tree.parent.info.run_name.startswith("manual 2")
    assert tree.statuses == {"pipeline": "FINISHED", "reduce": "FINISHED"}
    assert tree.children["reduce"].data.metrics["mlp.loss"] == 0.25
    expected = {"reduce.fraction": "1", "model.activation": "relu", "model.widths": "[1, 2]", "model.vectors": "None"}
    assert tree.parent.data.params == tree.children["reduce"].data.params == expected
    assert "system/system_memory_usage_megabytes" in tree.children["reduce"].data.metrics
    assert not list(spool_folder(root).glob("*/*"))


@pytest.mark.usefixtures("worker_thread")
def test_report_and_tables_are_artifacts_of_the_pipeline(root: Path):
    from mlflow import MlflowClient

    (root / "results").mkdir()
    for name in ("report.html", "accuracy_by_coverage.csv", "metrics.json"):
        (root / "results" / name).write_text(name)
    with start_run("evaluate", []) as run:
        run.log_results({"mlp": {"accuracy": 0.5}}, root / "results")
    parent = only_tree(root).parent
    assert parent.data.metrics == {"mlp.accuracy": 0.5}
    client = MlflowClient(f"sqlite:///{root}/mlflow.db")
    listed = [file.path for name in ("report", "tables") for file in client.list_artifacts(parent.info.run_id, name)]
    assert listed == ["report/report.html", "tables/accuracy_by_coverage.csv"]


@pytest.mark.usefixtures("worker_thread")
def test_the_run_of_a_stage_has_only_the_parameters_that_the_stage_reads(root: Path):
    with start_run("reduce", ["reduce"]):
        pass
    assert only_tree(root).children["reduce"].data.params == {"reduce.fraction": "1"}


@pytest.mark.usefixtures("worker_thread")
def test_the_runs_of_a_failed_stage_and_its_pipeline_have_the_error(root: Path):
    with pytest.raises(ValueError, match="caf"), start_run("evaluate", []) as run:
        run.log_metrics({"by_language": {"pt(BR)": 0.5, "español": 0.25}})
        raise ValueError("caf\udce9")
    tree = only_tree(root)
    assert tree.statuses == {"pipeline": "FAILED", "evaluate": "FAILED"}
    assert tree.children["evaluate"].data.tags["error"] == "ValueError: caf\\udce9"
    assert tree.parent.data.tags["error"] == "evaluate: ValueError: caf\\udce9"
    # MLflow allows few characters in names; values of the columns of a user may contain any.
    logged = tree.children["evaluate"].data.metrics
    assert (logged["by_language.pt_BR_"], logged["by_language.español"]) == (0.5, 0.25)


def test_a_stage_with_an_invalid_parameter_does_not_wait_for_its_failed_run(root: Path):
    # The worker needs this lock to use the store.
    with FileLock(root / "mlflow.db.lock"):
        log_failed_run("embed", ["embed"], InputError("embed.dimension is 0"))
        assert trees(f"sqlite:///{root}/mlflow.db") == []
    tree = wait_for_status(root, "embed", "FAILED")
    assert tree.statuses["pipeline"] == "FAILED"
    assert tree.children["embed"].data.tags["error"] == "InputError: embed.dimension is 0"


def test_the_runs_of_a_killed_stage_and_its_pipeline_are_marked_failed(root: Path):
    script = "from titles.tracking.run import start_run; import os\n"
    script += "with start_run('embed', []) as run: run.log_metrics({'rows_in': 5}); os.kill(os.getpid(), 9)"
    done = subprocess.run([sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": str(SOURCE)}, check=False)
    assert done.returncode == -signal.SIGKILL
    tree = wait_for_status(root, "embed", "FAILED")
    assert tree.statuses["pipeline"] == "FAILED"
    assert tree.children["embed"].data.metrics["rows_in"] == 5
    assert tree.children["embed"].data.tags["error"] == STAGE_KILLED


def test_a_killed_worker_causes_a_warning_and_its_run_is_marked_failed_later(
    root: Path, caplog: pytest.LogCaptureFixture
):
    with start_run("embed", []) as run:
        assert run.worker
        run.worker.kill()
        run.worker.wait()
        run.log_metrics({"rows_in": 5})
    assert caplog.text.count("worker has ended, the stage continues") == 1
    assert upload_unsent(root)
    tree = only_tree(root)
    assert tree.statuses["embed"] == "FAILED"
    assert tree.children["embed"].data.tags["error"] == WORKER_KILLED


@contextmanager
def server_that_hangs_up() -> Iterator[tuple[str, list[int]]]:
    """Yield the address of a server that closes every connection at once, and a list with an item per connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        connections: list[int] = []

        def hang_up() -> None:
            with suppress(OSError):
                while True:
                    server.accept()[0].close()
                    connections.append(1)

        thread = Thread(target=hang_up)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}", connections
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.usefixtures("worker_thread")
@pytest.mark.parametrize("store", ["http://{}", "postgresql+psycopg://nobody@{}/titles"])
def test_an_unreachable_store_stops_the_first_stage_with_an_instruction(
    root: Path, monkeypatch: pytest.MonkeyPatch, store: str
):
    with server_that_hangs_up() as (address, connections):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", store.format(address))
        with (
            pytest.raises(InputError, match=rf"{address}.* cannot be reached; start it, .*TITLES_TRACKING=off"),
            start_run("prepare", []),
        ):
            pytest.fail("work was begun")
    # By default MLflow would retry for minutes.
    assert len(connections) <= 2
    assert not list(spool_folder(root).glob("*"))


@contextmanager
def outage(root: Path) -> Iterator[None]:
    """Make the store unavailable within the context."""
    (root / "mlflow.db").rename(root / "aside.db")
    (root / "mlflow.db").mkdir()
    yield
    (root / "mlflow.db").rmdir()
    (root / "aside.db").rename(root / "mlflow.db")


def test_a_store_that_is_unavailable_to_a_later_stage_causes_a_warning_and_gets_its_events_afterwards(
    root: Path, capfd: pytest.CaptureFixture[str]
):
    model = root / "model"
    model.mkdir()
    (model / "history.csv").write_text("epoch,validation_balanced_accuracy\n1,0.5\n")
    (model / "network.json").write_text('{"epoch": 1, "train": {"objective": "accuracy"}}')
    with start_run("prepare", []):
        pass
    with outage(root), start_run("train_mlp", []) as run:
        run.log_metrics({"rows_in": 5})
        run.log_model("mlp", model)
    printed = capfd.readouterr().err
    assert "MLflow does not answer, the stage continues" in printed
    assert "events of train_mlp are not in MLflow yet; make sync sends them" in printed
    shutil.rmtree(model)
    with start_run("evaluate", []):
        pass
    tree = only_tree(root)
    assert tree.statuses == dict.fromkeys(["pipeline", "prepare", "train_mlp", "evaluate"], "FINISHED")
    assert tree.children["train_mlp"].data.metrics["rows_in"] == 5
    assert len(tree.children["train_mlp"].outputs.model_outputs) == 1
    assert not list(spool_folder(root).glob("*/*"))


def test_a_store_that_hangs_does_not_block_the_stage(root: Path, monkeypatch: pytest.MonkeyPatch):
    with socket.create_server(("127.0.0.1", 0)) as silent_server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent_server.getsockname()[1]}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", str(SECONDS))
        # The store was reached when the pipeline began.
        (spool_folder(root) / PipelineRun.from_current_process().key).mkdir(parents=True)
        with start_run("train_mlp", []) as run:
            connection, _ = silent_server.accept()
            # The worker waits for a response. A stage that waited too would never finish this loop.
            for epoch in range(5000):
                run.log_metrics({"train_loss": 0.5, "validation_loss": 0.5}, epoch)
            connection.close()
            silent_server.close()
    (spool,) = unsent_spools(root)
    assert len(spool.pending) == 5004


def test_events_for_another_store_stay_in_the_spool(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    begin = {"store": tracking_uri(root), "stage": "embed"}
    Spool(spool_folder(root) / "host-1-0.00/embed", begin).lock.release()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
    assert list(unsent_spools(root)) == []
    assert f"is for {begin['store']}" in caplog.text
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert [spool.begin for spool in unsent_spools(root)] == [begin]


def test_an_unreadable_spool_is_set_aside(root: Path, caplog: pytest.LogCaptureFixture):
    folder = spool_folder(root) / "host-1-0.00/embed"
    folder.mkdir(parents=True)
    (folder / "journal.jsonl").write_text("")
    assert list(unsent_spools(root)) == []
    assert "cannot be read and is set aside" in caplog.text
    assert (folder / "journal.broken").exists()


@pytest.mark.usefixtures("worker_thread")
def test_values_that_the_store_rejects_are_tagged_as_missing_and_all_others_are_logged(
    root: Path, caplog: pytest.LogCaptureFixture
):
    with start_run("train_mlp", []) as run:
        run.log_metrics({"rows_in": "many"})
        run.log_metrics({"rows_out": 5})
    assert "the metrics of train_mlp could not be logged" in caplog.text
    tree = only_tree(root)
    assert tree.statuses == {"pipeline": "FINISHED", "train_mlp": "FINISHED"}
    assert "many" in tree.children["train_mlp"].data.tags["titles.missing.metrics"]
    assert tree.children["train_mlp"].data.metrics["rows_out"] == 5


def test_tracking_can_be_off(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TITLES_TRACKING", "off")
    before = (root / "mlflow.db").read_bytes()
    with start_run("reduce", []) as run:
        run.log_metrics({"loss": 1})
        run.log_model("mlp", root / "not there")
    log_failed_run("reduce", [], InputError("wrong"))
    assert (root / "mlflow.db").read_bytes() == before
    assert not spool_folder(root).exists()


def test_the_process_of_a_stage_does_not_import_mlflow(root: Path):
    script = "from titles.tracking.run import start_run; import sys\n"
    script += "with start_run('embed', []): pass\nprint(*sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    loaded = subprocess.check_output([sys.executable, "-c", script], env=environment, text=True).split()
    assert {"mlflow", "dvc", "pandas", "sqlalchemy"} & set(loaded) == set()


def test_only_an_existing_network_can_be_promoted(root: Path):
    from titles.tracking.promote import _choose_folder

    with pytest.raises(InputError, match=r"models has no network; train them with dvc repro, or get them"):
        _choose_folder(None)
    for name, accuracy in (("cnn", 0.5), ("mlp", 0.75)):
        (root / "models" / name).mkdir(parents=True)
        history = f"epoch,validation_balanced_accuracy\n1,0.9\n2,{accuracy}\n"
        (root / "models" / name / "history.csv").write_text(history)
        (root / "models" / name / "network.json").write_text('{"epoch": 2}')
    with pytest.raises(InputError, match="models has no network 'rnn'; there are cnn, mlp"):
        _choose_folder("rnn")
    assert [_choose_folder(name) for name in ("cnn", None)] == [Path("models/cnn"), Path("models/mlp")]


EVENTS = st.lists(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3), max_size=6)


@given(events=EVENTS, num_uploaded=st.integers(0, 6))
def test_a_reopened_spool_has_the_events_that_are_not_uploaded(
    tmp_path_factory: pytest.TempPathFactory, events: list[dict[str, object]], num_uploaded: int
):
    folder = tmp_path_factory.mktemp("spools") / "stage"
    spool = Spool(folder, {"stage": "embed"})
    for event in events:
        spool.add(event)
    for _ in range(min(num_uploaded, len(events))):
        spool.pending.popleft()
    spool.save()
    spool.lock.release()
    reopened = Spool(folder)
    assert (reopened.begin, list(reopened.pending)) == ({"stage": "embed"}, events[num_uploaded:])


def test_a_spool_that_another_process_uploads_is_skipped(root: Path):
    folder = spool_folder(root) / "host-1-0.00"
    spool = Spool(folder / "embed", {"stage": "embed", "store": tracking_uri(root)})
    script = "import sys; from pathlib import Path; from titles.tracking.spool import unsent_spools\n"
    script += "print(len(list(unsent_spools(Path(sys.argv[1])))))"
    command = [sys.executable, "-c", script, str(root)]
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    assert subprocess.check_output(command, env=environment, text=True).strip() == "0"
    spool.lock.release()
    assert subprocess.check_output(command, env=environment, text=True).strip() == "1"


def test_files_are_copied_to_the_spool_until_they_are_logged(tmp_path: Path):
    table = tmp_path / "table.csv"
    table.write_text("first")
    spool = Spool(tmp_path / "spool", {"stage": "evaluate"})
    copies = [spool.folder / spool.copy_files(name, [table], link) for name, link in [("tables", False), ("mlp", True)]]
    table.unlink()
    table.write_text("second")
    assert [(folder / "table.csv").read_text() for folder in copies] == ["first", "first"]
    spool.remove()
    assert not spool.folder.exists()


def test_the_folder_of_an_ended_pipeline_is_removed_with_its_last_spool(root: Path):
    over, alive = (spool_folder(root) / key for key in ("host-1-0.00", PipelineRun.from_current_process().key))
    over.mkdir(parents=True)
    alive.mkdir()
    assert list(unsent_spools(root)) == []
    assert (over.exists(), alive.exists()) == (False, True)


def test_a_stage_without_an_end_event_counts_as_killed():
    end = {"end": "FINISHED"}
    assert list(ensure_end(iter([{"metrics": {}}, end, {"metrics": {}}]))) == [{"metrics": {}}, end]
    (killed,) = ensure_end(iter([]))
    assert (killed["end"], killed["error"]) == ("FAILED", STAGE_KILLED)
