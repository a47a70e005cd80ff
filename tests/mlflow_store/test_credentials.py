"""Passwords in URLs are redacted in logs, errors and files."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tracking.checkout import leave
from titles.core.errors import InputError
from titles.mlflow_store.credentials import redact, redact_logs, store_name
from titles.tracking.spool import unsent_spools
from titles.tracking.uploader import connect


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://ana:p@ss/w:rd@host:5000/mlflow", "http://host:5000/mlflow"),
        ("no answer of http://ana:secret@host: refused", "no answer of http://host: refused"),
        (
            "postgresql+psycopg://ana@db/titles?password=secret&sslmode=require",
            "postgresql+psycopg://db/titles?password=***&sslmode=require",
        ),
        ("host=db user=ana password='secret'", "host=db user=ana password='***'"),
        ("sqlite:////home/ana@work/mlflow.db", "sqlite:////home/ana@work/mlflow.db"),
        ("file:///home/ana@work/mlartifacts", "file:///home/ana@work/mlartifacts"),
        ("models:/titles@champion", "models:/titles@champion"),
        ("http://host:5000", "http://host:5000"),
    ],
)
def test_secrets_are_redacted(text: str, expected: str):
    assert redact(text) == expected


@given(st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1))
def test_a_password_of_any_characters_is_redacted(password: str):
    assert redact(f"see http://ana:{password}@host:5000") == "see http://host:5000"


@pytest.fixture
def redacted_logs() -> Iterator[None]:
    before, hook = logging.getLogRecordFactory(), sys.excepthook
    redact_logs()
    yield
    logging.setLogRecordFactory(before)
    sys.excepthook = hook


@pytest.mark.usefixtures("redacted_logs")
def test_the_logs_of_every_library_are_redacted(caplog: pytest.LogCaptureFixture):
    log = logging.getLogger("some.library")
    log.warning("no answer of %s", "http://ana:secret@host")
    try:
        raise ConnectionError("http://ana:secret@host is gone")
    except ConnectionError:
        log.exception("failed")
    assert "no answer of http://host" in caplog.text
    assert "ConnectionError: http://host is gone" in caplog.text
    assert "secret" not in caplog.text


def test_an_unhandled_error_is_redacted():
    script = "from titles.mlflow_store.credentials import redact_logs; redact_logs()\n"
    script += "raise ConnectionError('no answer of http://ana:secret@host')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr.endswith("ConnectionError: no answer of http://host\n")
    assert done.stderr.startswith("Traceback")
    assert done.returncode == 1


@pytest.mark.parametrize(
    "store", ["http://ana:secret@127.0.0.1:9", "postgresql+psycopg://ana:secret@127.0.0.1:9/titles"]
)
def test_the_error_of_a_store_that_cannot_be_reached_has_no_password(
    root: Path, monkeypatch: pytest.MonkeyPatch, store: str
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    with pytest.raises(InputError, match=r"127\.0\.0\.1:9.* cannot be reached") as raised:
        connect(root)
    assert "secret" not in str(raised.value)


def test_a_spool_has_no_password_and_is_found_with_another_password(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ana:secret@host:5000")
    unsent = leave(root, "embed", {"metrics": {"rows_in": 5}, "time": 1, "step": 0})
    assert "secret" not in unsent.path.read_text()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ana:changed@host:5000")
    assert [spool.begin for spool in unsent_spools(root)] == [unsent.begin]


def test_a_spool_of_an_earlier_version_with_a_password_is_found(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ana:changed@host:5000")
    unsent = leave(root, "embed")
    unsent.begin["store"] = "http://ana:secret@host:5000"
    unsent.save()
    (spool,) = unsent_spools(root)
    assert spool.folder == unsent.folder


@pytest.mark.parametrize("store", [None, "sqlite:///mlflow.db", "sqlite:///{}/mlflow.db"])
def test_the_name_of_a_store_within_the_checkout_has_its_relative_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str | None
):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if store:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", store.format(tmp_path))
    assert store_name(tmp_path) == "sqlite:///mlflow.db"


def test_only_the_owner_can_read_a_spool(root: Path):
    table = root / "table.csv"
    table.write_text("confidential")
    spool = leave(root, "evaluate")
    copies = spool.folder / spool.copy_files("tables", [table])
    assert spool.path.stat().st_mode & 0o077 == 0
    for file in (spool.path, copies / "table.csv"):
        assert any(folder.stat().st_mode & 0o077 == 0 for folder in file.parents if folder.is_relative_to(root))
