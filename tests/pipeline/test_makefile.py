"""Targets of the Makefile."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from titles.core.cpus import available_cpus

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("setting", [[], ["WORKERS=7"]])
def test_make_test_counts_its_workers_with_the_python_of_the_venv(tmp_path: Path, setting: list[str]):
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    (tmp_path / "src").symlink_to(ROOT / "src")
    (tmp_path / "bin").mkdir()
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").symlink_to(sys.executable)
    (tmp_path / ".venv/bin/pytest").write_text('#!/bin/sh\necho pytest "$@"\n')
    (tmp_path / ".venv/bin/pytest").chmod(0o755)
    (tmp_path / ".venv/installed").touch()
    environment = {"PATH": str(tmp_path / "bin")}
    done = subprocess.run(
        [make, "test", *setting], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    workers = 7 if setting else available_cpus() + 1
    assert f"pytest --numprocesses {workers} " in done.stdout.splitlines()[-1], done.stderr
