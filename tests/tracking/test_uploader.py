"""Uploads that a store rejects, for good or for a while; SQLite triggers simulate the errors."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.tracking.checkout import END, leave, send
from tests.tracking.tree import Tree, trees
from titles.core.errors import InputError
from titles.mlflow_store.store import Store
from titles.mlflow_store.values import as_text
from titles.tracking.event_log import Runs, log_event
from titles.tracking.spool import Spool, unsent_spools
from titles.tracking.worker import WORKER_KILLED, upload_unsent

ROWS = {"metrics": {"rows_in": 5}, "step": 0, "time": 1500}
ERROR = {"error": "InputError: wrong"}
FAILED = END | {"end": "FAILED"}


def refuse(root: Path, *conditions: tuple[str, str]) -> None:
    """Make the store reject all rows of a table that satisfy the condition."""
    with closing(sqlite3.connect(root / "mlflow.db")) as connection, connection:
        for table, condition in conditions:
            for action in ("INSERT", "UPDATE"):
                connection.execute(
                    f"CREATE TRIGGER refuse_{table}_{action} BEFORE {action} ON {table} WHEN {condition} "
                    "BEGIN SELECT RAISE(ABORT, 'refused'); END"
                )


def allow(root: Path) -> None:
    with closing(sqlite3.connect(root / "mlflow.db")) as connection, connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")


def only_tree(root: Path) -> Tree:
    (tree,) = trees(f"sqlite:///{root}/mlflow.db")
    return tree


@pytest.mark.parametrize(("text", "expected"), [("a\0b", "a\\x00b"), ("caf\udce9", "caf\\udce9"), ("café", "café")])
def test_characters_that_a_database_rejects_are_escaped(text: str, expected: str):
    assert as_text(text) == expected


def test_an_error_with_nul_is_in_the_run(root: Path):
    leave(root, "embed", {"error": "InputError: train.csv, line 3: \0"}, FAILED)
    assert upload_unsent(root)
    tree = only_tree(root)
    assert tree.statuses == {"pipeline": "FAILED", "embed": "FAILED"}
    assert tree.children["embed"].data.tags["error"] == "InputError: train.csv, line 3: \\x00"
    assert tree.parent.data.tags["error"] == "embed: InputError: train.csv, line 3: \\x00"


def test_the_password_of_a_server_is_removed_from_an_error(root: Path):
    leave(root, "embed", {"error": "OSError: http://ana:secret@host"}, FAILED)
    assert upload_unsent(root)
    assert only_tree(root).children["embed"].data.tags["error"] == "OSError: http://host"


def test_a_rejected_error_causes_a_warning_and_the_run_is_ended(root: Path, caplog: pytest.LogCaptureFixture):
    refuse(root, ("tags", "NEW.key = 'error'"))
    leave(root, "embed", ERROR, FAILED)
    assert upload_unsent(root)
    assert "the error of embed could not be logged" in caplog.text
    tree = only_tree(root)
    assert tree.statuses == {"pipeline": "FAILED", "embed": "FAILED"}
    assert "refused" in tree.children["embed"].data.tags["titles.missing.error"]
    assert list(unsent_spools(root)) == []


def test_the_events_of_a_run_that_a_user_deleted_are_dropped(root: Path, caplog: pytest.LogCaptureFixture):
    spool = leave(root, "embed", ROWS, END)
    store = Store(root)
    _, child = store.find_or_create_stage_run(spool.begin)
    store.client.delete_run(child)
    refuse(root, ("runs", f"NEW.run_uuid = '{child}'"), ("latest_metrics", f"NEW.run_uuid = '{child}'"))
    runs = Runs(
        store,
        spool.begin,
        spool.folder,
        store.find_or_create_stage_run(spool.begin | {"stage": "prepare"})[0],
        child,
    )
    from titles.tracking.uploader import Uploader

    uploader = Uploader(root, Spool(spool.folder), live=False)
    uploader.runs = runs
    assert uploader.finish()
    assert "the metrics of embed could not be logged" in caplog.text
    assert "the end of embed could not be logged" in caplog.text
    assert only_tree(root).parent.info.status == "FINISHED"
    assert list(unsent_spools(root)) == []


def test_no_event_is_lost_if_the_store_is_read_only(root: Path, caplog: pytest.LogCaptureFixture):
    Store(root)
    refuse(root, ("latest_metrics", "1"), ("experiment_tags", "1"))
    leave(root, "embed", ROWS, END)
    assert not upload_unsent(root)
    assert "MLflow does not answer" in caplog.text
    assert "2 events of embed are not in MLflow yet" in caplog.text
    allow(root)
    assert upload_unsent(root)
    tree = only_tree(root)
    assert tree.statuses == {"pipeline": "FINISHED", "embed": "FINISHED"}
    assert tree.children["embed"].data.metrics == {"rows_in": 5}


def test_events_of_a_deleted_experiment_stay_in_the_spool(root: Path, caplog: pytest.LogCaptureFixture):
    store = Store(root)
    store.client.delete_experiment(store.experiment_id)
    assert not send(root, "embed", ROWS)
    assert "MLflow cannot be used" in caplog.text
    assert "mlflow experiments restore --experiment-id" in caplog.text
    store.client.restore_experiment(store.experiment_id)
    assert upload_unsent(root)
    assert only_tree(root).children["embed"].data.metrics == {"rows_in": 5}


def test_an_unsupported_kind_of_event_causes_a_warning(root: Path, caplog: pytest.LogCaptureFixture):
    assert send(root, "embed", {"songs": 1}, ROWS)
    assert "the songs of embed could not be logged" in caplog.text
    assert only_tree(root).children["embed"].data.metrics == {"rows_in": 5}


def test_only_the_incomplete_line_of_a_spool_is_lost(root: Path, caplog: pytest.LogCaptureFixture):
    spool = leave(root, "embed", ROWS)
    with spool.path.open("ab") as file:
        file.write(b'{"metrics": {"rows_')
    assert upload_unsent(root)
    assert "1 lines cannot be read and are left out" in caplog.text
    embed = only_tree(root).children["embed"]
    assert (embed.data.metrics, embed.data.tags["error"]) == ({"rows_in": 5}, WORKER_KILLED)


def test_the_stage_has_the_hashes_of_its_data_and_the_pipeline_those_of_the_raw_data(root: Path):
    hashes = {
        "dep": {"data/oferta$x": "a1.dir", "src/titles/text/normalization.py": "b2"},
        "out": {"data/prepared": "c3.dir"},
        "raw": {"data/oferta$x": "a1.dir"},
    }
    assert send(root, "prepare", {"hashes": hashes})
    tree = only_tree(root)
    tags = tree.children["prepare"].data.tags
    assert {tag: value for tag, value in tags.items() if tag.startswith(("dvc.dep", "dvc.out"))} == {
        "dvc.dep.data/oferta_x": "a1.dir",
        "dvc.dep.src/titles/text/normalization.py": "b2",
        "dvc.out.data/prepared": "c3.dir",
    }
    for run in (tree.parent, tree.children["prepare"]):
        assert [(given.dataset.name, given.dataset.digest) for given in run.inputs.dataset_inputs] == [
            ("data/oferta$x", "a1.dir")
        ]


def test_a_note_of_the_user_is_not_overwritten(root: Path):
    spool = leave(root, "embed")
    store = Store(root)
    runs = Runs.find_or_create(store, spool.begin, spool.folder)
    store.client.set_tag(runs.parent, "mlflow.note.content", "mine")
    log_event(runs, {"notes": {"pipeline": "`dvc repro`", "stage": "Number words"}})
    tags = [store.client.get_run(run_id).data.tags["mlflow.note.content"] for run_id in (runs.parent, runs.child)]
    assert tags == ["mine", "Number words"]


def test_a_deleted_experiment_stops_the_first_stage(root: Path):
    from titles.tracking.run import start_run

    store = Store(root)
    store.client.delete_experiment(store.experiment_id)
    with (
        pytest.raises(InputError, match="the experiment titles was deleted in MLflow; restore it"),
        start_run("prepare", []),
    ):
        pytest.fail("work was begun")


def test_the_spool_of_an_earlier_version_is_uploaded_completely(root: Path):
    leave(root, "embed", {"hashes": {"dep": {"data/reduced": "a1.dir"}, "out": {}}}, FAILED | ERROR)
    assert upload_unsent(root)
    tags = only_tree(root).children["embed"].data.tags
    assert (tags["error"], tags["dvc.dep.data/reduced"]) == ("InputError: wrong", "a1.dir")
