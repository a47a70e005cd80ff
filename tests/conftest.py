import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import MlflowServer, PostgreSQL, postgresql_programs

pytest.register_assert_rewrite("tests.any_store")
# Equal bytes are promised on the CPU; what a GPU does differently has tests of its own.
os.environ["TITLES_DEVICE"] = "cpu"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MB; skips where none can be mounted."""
    (disk := tmp_path / "disk").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system can be mounted by root alone")
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """MLflow's, on PostgreSQL; skips where that is not installed."""
    programs = postgresql_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    database = PostgreSQL(programs)
    started = MlflowServer(tmp_path_factory.mktemp("server"), database.uri)
    started.start()
    yield started
    started.kill()
    database.stop()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Runs of the whole pipeline come first, so that all else goes on beside them."""
    items.sort(key=lambda item: item.path.name != "test_pipeline.py")
