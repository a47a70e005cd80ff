"""Stages in temporary checkouts, which DVC removes together with the code of the tracking worker."""

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
INVALID = """
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


def wait_for_embed(root: Path, name: str) -> dict[str, str]:
    """Return the tags of the run of embed, once it has a tag or metric of that name."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        for tree in trees(f"sqlite:///{root}/mlflow.db"):
            embed = tree.children.get("embed")
            if embed and name in embed.data.tags | embed.data.metrics:
                return dict(embed.data.tags)
        time.sleep(0.2)
    pytest.fail(f"the run of embed has no {name}")


def test_the_run_of_a_killed_stage_is_marked_failed(root: Path, nested: Path):
    stage = start(nested, KILL)
    wait_for_embed(root, "rows_in")
    # Killed after the checkout is removed, so that the worker must work without its files.
    shutil.rmtree(nested)
    stage.kill()
    stage.wait()
    assert wait_for_embed(root, "error")["error"] == STAGE_KILLED


def test_the_run_of_a_stage_with_an_invalid_parameter_is_complete_when_the_stage_ends(root: Path, nested: Path):
    assert start(nested, INVALID).wait() == 0
    shutil.rmtree(nested)
    (tree,) = trees(f"sqlite:///{root}/mlflow.db")
    assert tree.statuses == {"pipeline": "FAILED", "embed": "FAILED"}
    assert tree.children["embed"].data.tags["error"] == "InputError: embed.dimension is 0"
