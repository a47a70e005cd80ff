"""Events that the tracking worker reads, and plots that it renders through DVC."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from titles.mlflow_store.dvc_lineage import draw_plots
from titles.tracking.worker import read_events

PLOTS = """plots:
- Loss by epoch:
    x: epoch
    y:
      history.csv: loss
- Confused / pairs:
    x: titles
    y:
      pairs.csv: pair
- Nothing yet:
    x: titles
    y:
      nothing.csv: pair
- Not written:
    x: titles
    y:
      absent.csv: pair
"""


def test_unreadable_lines_are_skipped_and_the_end_is_read(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    lines = '{"metrics": {}}\nnonsense\n\n[1]\n{}\n{"end": "FINISHED"}\n{"metr'
    assert list(read_events(io.StringIO(lines))) == [{"metrics": {}}, {"end": "FINISHED"}]
    assert caplog.text.count("cannot be read and is left out") == 5


def test_the_worker_exits_normally_after_bytes_that_are_not_utf8():
    done = subprocess.run([sys.executable, "-m", "titles.tracking.worker"], input=b"\xff\xfe\n", check=False)
    assert done.returncode == 0


def test_plots_without_data_are_skipped_and_the_others_are_rendered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "--quiet"], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], check=True)
    (tmp_path / "dvc.yaml").write_text(PLOTS)
    (tmp_path / "history.csv").write_text("epoch,loss\n1,0.5\n2,0.25\n")
    (tmp_path / "pairs.csv").write_text("pair,titles\na / b,5\n")
    (tmp_path / "nothing.csv").write_text("pair,titles\n")
    (drawn := tmp_path / "drawn").mkdir()
    assert [image.name for image in draw_plots(drawn)] == ["Loss by epoch.png", "Confused _ pairs.png"]
    assert all(image.read_bytes().startswith(b"\x89PNG") for image in drawn.iterdir())
    assert "the plot 'Nothing yet' is left out" in caplog.text
    assert "the plot 'Not written' is left out" in caplog.text
