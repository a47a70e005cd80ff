"""A stage whose checkout DVC removes as soon as it has ended, with the code of its recorder."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.repository import SECONDS
from tests.tracking.tree import trees
from titles.mlflow_store.paths import NESTED_CHECKOUTS
from titles.tracking.worker import STAGE_KILLED

SOURCE = Path(__file__).parents[2] / "src"
KILL = """
import time
from titles.tracking.run import start_run
with start_run("embed", []) as run:
    run.log_metrics({"rows_in": 5})
    time.sleep(1000000)
"""
REFUSED = """
from titles.core.errors import InputError
from titles.tracking.run import log_failed_run
log_failed_run("embed", [], InputError("embed.dimension is 0"))
"""


@pytest.fixture
def nested(root: Path) -> Path:
    folder = root / NESTED_CHECKOUTS / "standalone/tmp1"
    shutil.copytree(SOURCE, folder / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    return folder


def start(nested: Path, script: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(nested / "src")}
    return subprocess.Popen([sys.executable, "-c", script], cwd=nested, env=environment)


def embed_with(root: Path, name: str) -> dict[str, str]:
    """The tags of the run of embed, once it has one of that name or a metric."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        for tree in trees(f"sqlite:///{root}/mlflow.db"):
            embed = tree.children.get("embed")
            if embed and name in embed.data.tags | embed.data.metrics:
                return dict(embed.data.tags)
        time.sleep(0.2)
    pytest.fail(f"embed never had {name}")


def test_a_stage_that_is_killed_leaves_its_run_failed(root: Path, nested: Path):
    stage = start(nested, KILL)
    embed_with(root, "rows_in")
    # Killed last, so that the recorder finds nothing when it must say so.
    shutil.rmtree(nested)
    stage.kill()
    stage.wait()
    assert embed_with(root, "error")["error"] == STAGE_KILLED


def test_a_stage_that_is_refused_has_left_its_run_when_it_ends(root: Path, nested: Path):
    assert start(nested, REFUSED).wait() == 0
    shutil.rmtree(nested)
    (tree,) = trees(f"sqlite:///{root}/mlflow.db")
    assert tree.statuses == {"pipeline": "FAILED", "embed": "FAILED"}
    assert tree.children["embed"].data.tags["error"] == "InputError: embed.dimension is 0"
