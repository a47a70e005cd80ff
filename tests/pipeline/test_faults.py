"""Full disks: stages on a small file system of their own."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stages.embed import embed
from stages.prepare import prepare
from stages.reduce import reduce
from stages.train_mlp import train_mlp
from tests.repository import AS_ROOT, ROOT, SMALL, write_catalogue
from titles.stage import start
from titles.training import checkpoint

SMALLER = {
    "data": {"raw": "shop"},
    "embed": {"dimension": 8, "subword_buckets": 97, "bigrams": 10},
    "train": {"batch_size": 64},
}
# Step by which the free space grows; a training needs about six steps.
STEP = 24 << 10
PATHS = {
    prepare: "prepared",
    reduce: "prepared reduced",
    embed: "prepared reduced word_vectors embedded vectors.npy",
    train_mlp: "embedded vectors.npy models/mlp",
}


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A mounted file system in which the stages run; `resize` sets its size."""
    params = YAML().load(ROOT / "params.yaml")
    for changes in (SMALL, SMALLER):
        for section, values in changes.items():
            params[section].update(values)
    mounted = tmp_path / "disk"
    mounted.mkdir()
    done = subprocess.run(
        [*AS_ROOT, "mount", "-t", "tmpfs", "-o", f"uid={os.getuid()}", "titles", mounted],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"no file system may be mounted here: {done.stderr.strip()}")
    YAML().dump(params, mounted / "params.yaml")
    write_catalogue(mounted / "shop" / "train.csv", rows=300, seed=1)
    monkeypatch.chdir(mounted)
    monkeypatch.setenv("TITLES_TRACKING", "off")
    yield mounted
    monkeypatch.chdir(tmp_path)
    subprocess.run([*AS_ROOT, "umount", mounted], check=True)


def resize(disk: Path, more: int | None) -> None:
    """Leave `more` bytes free; None means enough for every stage."""
    size = shutil.disk_usage(disk).used + more if more is not None else 1 << 30
    subprocess.run([*AS_ROOT, "mount", "-o", f"remount,size={size}", disk], check=True)


def run(stage: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> str | None:
    """Run a stage; return the message of its SystemExit, or None if it finishes."""
    monkeypatch.setattr("sys.argv", [stage.__name__, *PATHS[stage].split()])
    try:
        start(stage)
    except SystemExit as stopped:
        return str(stopped)
    return None


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def disk_full_line(stage: str, folder: str) -> str:
    return f"{stage}: the disk of {folder} is full (No space left on device); free space and run again: training"


def test_a_training_stops_on_a_full_disk_and_resumes_to_the_same_bytes_once_there_is_space(
    disk: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", "titles.training.trainer")
    # After every step.
    monkeypatch.setattr(checkpoint, "MIN_INTERVAL_SECONDS", 0.0)
    monkeypatch.setattr(checkpoint, "MAX_TIME_SHARE", float("inf"))
    for stage in (prepare, reduce, embed, train_mlp):
        assert run(stage, monkeypatch) is None
    model = contents(disk / "models")
    shutil.rmtree(disk / "models")
    before = contents(disk)
    for free_bytes in count(step=STEP):
        resize(disk, free_bytes)
        line = run(train_mlp, monkeypatch)
        if line is None:
            break
        assert line.startswith(disk_full_line("train_mlp", "models/mlp"))
        resize(disk, None)
        assert run(train_mlp, monkeypatch) is None
        assert contents(disk / "models") == model
        shutil.rmtree(disk / "models")
        assert contents(disk) == before
    assert contents(disk / "models") == model
    # The disk was full at several points of the training.
    assert free_bytes > 3 * STEP
    assert "no checkpoint could be saved (No space left on device), training continues" in caplog.messages
    assert any(message.startswith("resuming in epoch") for message in caplog.messages)


@pytest.mark.parametrize("stage", [prepare, reduce])
def test_a_data_stage_stops_on_a_full_disk_and_leaves_its_inputs_unchanged(
    disk: Path, monkeypatch: pytest.MonkeyPatch, stage: Callable[..., None]
):
    if stage is reduce:
        assert run(prepare, monkeypatch) is None
    before = contents(disk)
    resize(disk, 4 << 10)
    line = run(stage, monkeypatch)
    assert line
    assert line.startswith(disk_full_line(stage.__name__, PATHS[stage].split()[-1]))
    assert {name: content for name, content in contents(disk).items() if name in before} == before
    resize(disk, None)
    assert run(stage, monkeypatch) is None
