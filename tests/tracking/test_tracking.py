"""What stages leave in the embedded store, through the recorder they start."""

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


def eventually(root: Path, stage: str, status: str) -> Tree:
    """The only tree once the run of the stage, which nobody waits for, has that status."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        # Asked first: the parent's status comes after that of the stage.
        is_delivered = not any(spool_folder(root).glob("*/*"))
        found = trees(f"sqlite:///{root}/mlflow.db")
        if is_delivered and found and found[0].statuses.get(stage) == status:
            return found[0]
        time.sleep(0.2)
    pytest.fail(f"{stage} never was {status}: {found and found[0].statuses}")


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
def test_dvc_is_known_by_its_command(command: list[str], expected: bool):
    assert _is_dvc(SimpleNamespace(cmdline=lambda: command)) is expected  # type: ignore[arg-type]


def test_a_pipeline_lives_as_long_as_the_process_its_key_names(root: Path):
    key = PipelineRun.from_current_process().key
    assert is_alive(key)
    assert not is_alive(f"{key}1")


def test_a_stage_leaves_its_run_below_that_of_the_pipeline(root: Path):
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


def test_a_stage_has_the_parameters_it_reads_and_no_others(root: Path):
    with start_run("reduce", ["reduce"]):
        pass
    assert only_tree(root).children["reduce"].data.params == {"reduce.fraction": "1"}


def test_a_stage_that_fails_leaves_its_run_and_the_parent_failed_with_the_error(root: Path):
    with pytest.raises(ValueError, match="caf"), start_run("evaluate", []) as run:
        run.log_metrics({"by_language": {"pt(BR)": 0.5, "español": 0.25}})
        raise ValueError("caf\udce9")
    tree = only_tree(root)
    assert tree.statuses == {"pipeline": "FAILED", "evaluate": "FAILED"}
    assert tree.children["evaluate"].data.tags["error"] == "ValueError: caf\\udce9"
    assert tree.parent.data.tags["error"] == "evaluate: ValueError: caf\\udce9"
    # MLflow takes few characters in a name, and values of a user's columns may hold any.
    logged = tree.children["evaluate"].data.metrics
    assert (logged["by_language.pt_BR_"], logged["by_language.español"]) == (0.5, 0.25)


def test_a_stage_that_is_refused_leaves_a_failed_run_without_waiting_for_it(root: Path):
    # Without this lock the recorder has no access to the store.
    with FileLock(root / "mlflow.db.lock"):
        log_failed_run("embed", ["embed"], InputError("embed.dimension is 0"))
        assert trees(f"sqlite:///{root}/mlflow.db") == []
    tree = eventually(root, "embed", "FAILED")
    assert tree.statuses["pipeline"] == "FAILED"
    assert tree.children["embed"].data.tags["error"] == "InputError: embed.dimension is 0"


def test_a_stage_that_is_killed_leaves_its_run_and_the_parent_failed(root: Path):
    script = "from titles.tracking.run import start_run; import os\n"
    script += "with start_run('embed', []) as run: run.log_metrics({'rows_in': 5}); os.kill(os.getpid(), 9)"
    done = subprocess.run([sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": str(SOURCE)}, check=False)
    assert done.returncode == -signal.SIGKILL
    tree = eventually(root, "embed", "FAILED")
    assert tree.statuses["pipeline"] == "FAILED"
    assert tree.children["embed"].data.metrics["rows_in"] == 5
    assert tree.children["embed"].data.tags["error"] == STAGE_KILLED


def test_a_recorder_that_is_killed_costs_a_warning_and_its_run_is_failed_afterwards(
    root: Path, caplog: pytest.LogCaptureFixture
):
    with start_run("embed", []) as run:
        assert run.worker
        run.worker.kill()
        run.worker.wait()
        run.log_metrics({"rows_in": 5})
    assert caplog.text.count("worker has ended, the stage goes on") == 1
    assert upload_unsent(root)
    tree = only_tree(root)
    assert tree.statuses["embed"] == "FAILED"
    assert tree.children["embed"].data.tags["error"] == WORKER_KILLED


@contextmanager
def hanging_up() -> Iterator[tuple[str, list[int]]]:
    """The address of a server that ends every connection at once, and a list that grows by each."""
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


@pytest.mark.parametrize("store", ["http://{}", "postgresql+psycopg://nobody@{}/titles"])
def test_a_store_that_cannot_be_reached_stops_the_first_stage_and_says_what_to_do(
    root: Path, monkeypatch: pytest.MonkeyPatch, store: str
):
    with hanging_up() as (address, connections):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", store.format(address))
        with (
            pytest.raises(InputError, match=rf"{address}.* cannot be reached; start it, .*TITLES_TRACKING=off"),
            start_run("prepare", []),
        ):
            pytest.fail("work was begun")
    # MLflow by itself would try more often, for minutes.
    assert len(connections) <= 2
    assert not list(spool_folder(root).glob("*"))


@contextmanager
def outage(root: Path) -> Iterator[None]:
    """The store cannot be opened meanwhile."""
    (root / "mlflow.db").rename(root / "aside.db")
    (root / "mlflow.db").mkdir()
    yield
    (root / "mlflow.db").rmdir()
    (root / "aside.db").rename(root / "mlflow.db")


def test_a_store_that_is_gone_when_a_later_stage_starts_costs_a_warning_and_is_filled_afterwards(
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
    told = capfd.readouterr().err
    assert "MLflow does not answer, the stage goes on" in told
    assert "records of train_mlp are not in MLflow yet; make sync sends them" in told
    shutil.rmtree(model)
    with start_run("evaluate", []):
        pass
    tree = only_tree(root)
    assert tree.statuses == dict.fromkeys(["pipeline", "prepare", "train_mlp", "evaluate"], "FINISHED")
    assert tree.children["train_mlp"].data.metrics["rows_in"] == 5
    assert len(tree.children["train_mlp"].outputs.model_outputs) == 1
    assert not list(spool_folder(root).glob("*/*"))


def test_a_store_that_hangs_does_not_hold_the_stage_up(root: Path, monkeypatch: pytest.MonkeyPatch):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", str(SECONDS))
        # The store was reached when the pipeline began.
        (spool_folder(root) / PipelineRun.from_current_process().key).mkdir(parents=True)
        with start_run("train_mlp", []) as run:
            waiting, _ = deaf.accept()
            # The recorder waits for an answer. A stage that waited as well would never come to the end of this.
            for epoch in range(5000):
                run.log_metrics({"train_loss": 0.5, "validation_loss": 0.5}, epoch)
            waiting.close()
            deaf.close()
    (journal,) = unsent_spools(root)
    assert len(journal.pending) == 5004


def test_what_is_for_another_store_waits_for_it(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    begin = {"store": tracking_uri(root), "stage": "embed"}
    Spool(spool_folder(root) / "host-1-0.00/embed", begin).lock.release()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
    assert list(unsent_spools(root)) == []
    assert f"is for {begin['store']}" in caplog.text
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert [journal.begin for journal in unsent_spools(root)] == [begin]


def test_a_journal_that_cannot_be_read_is_set_aside(root: Path, caplog: pytest.LogCaptureFixture):
    folder = spool_folder(root) / "host-1-0.00/embed"
    folder.mkdir(parents=True)
    (folder / "journal.jsonl").write_text("")
    assert list(unsent_spools(root)) == []
    assert "cannot be read and is set aside" in caplog.text
    assert (folder / "journal.broken").exists()


def test_what_the_store_refuses_is_said_to_be_missing_and_all_else_is_there(
    root: Path, capfd: pytest.CaptureFixture[str]
):
    with start_run("train_mlp", []) as run:
        run.log_metrics({"rows_in": "many"})
        run.log_metrics({"rows_out": 5})
    assert "the metrics of train_mlp could not be logged" in capfd.readouterr().err
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


def test_the_process_of_a_stage_never_loads_mlflow(root: Path):
    script = "from titles.tracking.run import start_run; import sys\n"
    script += "with start_run('embed', []): pass\nprint(*sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    loaded = subprocess.check_output([sys.executable, "-c", script], env=environment, text=True).split()
    assert {"mlflow", "dvc", "pandas", "sqlalchemy"} & set(loaded) == set()


def test_only_a_network_that_is_there_can_be_promoted(root: Path):
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


@given(events=EVENTS, delivered=st.integers(0, 6))
def test_a_journal_gives_back_what_the_store_has_not_taken(
    tmp_path_factory: pytest.TempPathFactory, events: list[dict[str, object]], delivered: int
):
    folder = tmp_path_factory.mktemp("journals") / "stage"
    journal = Spool(folder, {"stage": "embed"})
    for event in events:
        journal.add(event)
    for _ in range(min(delivered, len(events))):
        journal.pending.popleft()
    journal.save()
    journal.lock.release()
    again = Spool(folder)
    assert (again.begin, list(again.pending)) == ({"stage": "embed"}, events[delivered:])


def test_a_journal_that_is_being_delivered_is_left_alone(root: Path):
    folder = spool_folder(root) / "host-1-0.00"
    journal = Spool(folder / "embed", {"stage": "embed", "store": tracking_uri(root)})
    script = "import sys; from pathlib import Path; from titles.tracking.spool import unsent_spools\n"
    script += "print(len(list(unsent_spools(Path(sys.argv[1])))))"
    command = [sys.executable, "-c", script, str(root)]
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    assert subprocess.check_output(command, env=environment, text=True).strip() == "0"
    journal.lock.release()
    assert subprocess.check_output(command, env=environment, text=True).strip() == "1"


def test_files_are_kept_as_they_were_until_they_are_logged(tmp_path: Path):
    table = tmp_path / "table.csv"
    table.write_text("first")
    journal = Spool(tmp_path / "journal", {"stage": "evaluate"})
    kept = [
        journal.folder / journal.copy_files(name, [table], link) for name, link in [("tables", False), ("mlp", True)]
    ]
    table.unlink()
    table.write_text("second")
    assert [(folder / "table.csv").read_text() for folder in kept] == ["first", "first"]
    journal.remove()
    assert not journal.folder.exists()


def test_the_folder_of_a_pipeline_that_is_over_goes_with_its_last_journal(root: Path):
    over, alive = (spool_folder(root) / key for key in ("host-1-0.00", PipelineRun.from_current_process().key))
    over.mkdir(parents=True)
    alive.mkdir()
    assert list(unsent_spools(root)) == []
    assert (over.exists(), alive.exists()) == (False, True)


def test_a_stage_that_says_nothing_more_was_killed():
    end = {"end": "FINISHED"}
    assert list(ensure_end(iter([{"metrics": {}}, end, {"metrics": {}}]))) == [{"metrics": {}}, end]
    (killed,) = ensure_end(iter([]))
    assert (killed["end"], killed["error"]) == ("FAILED", STAGE_KILLED)
