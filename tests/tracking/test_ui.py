"""The page that `make ui` opens."""

import os
import sys
from pathlib import Path

import pytest

from titles.tracking import ui


def test_the_ui_opens_on_the_runs_of_this_checkout(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _, command: started.append(command))
    monkeypatch.setattr(ui, "redact_logs", lambda: None)
    monkeypatch.delenv("MLFLOW_BACKEND_STORE_URI", raising=False)
    ui.main()
    assert capsys.readouterr().out == "open http://localhost:5000/#/experiments/1/runs?workflowType=machine_learning\n"
    assert started == [[sys.executable, "-m", "mlflow", "ui"]]
    assert os.environ.pop("MLFLOW_BACKEND_STORE_URI") == f"sqlite:///{root}/mlflow.db"


def test_an_unreachable_server_stops_the_ui_with_an_error(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(ui, "redact_logs", lambda: None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ana:secret@127.0.0.1:9")
    with pytest.raises(SystemExit, match=r"ui: MLflow at http://127\.0\.0\.1:9 cannot be reached"):
        ui.main()
    assert capsys.readouterr().out == ""
