import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings
from playwright.sync_api import Browser, expect, sync_playwright

from tests.repository import AS_ROOT, SECONDS, Repository, committed
from tests.servers import MlflowServer, PostgreSQL, postgresql_programs

pytest.register_assert_rewrite("tests.tracking.any_store")
# Equal bytes are promised on the CPU; what a GPU does differently has tests of its own.
os.environ["TITLES_DEVICE"] = "cpu"
# Tests run beside each other, and threads that spin while they wait for their like take the time of the others'.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# A shell makes what it runs in the background ignore Ctrl-C, which the processes that tests start would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Nor may a test depend on how fast the machine is.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
expect.set_options(timeout=SECONDS * 1000)

PARAMS = "reduce:\n  fraction: 1\nmodel:\n  activation: relu\n  widths:\n  - 1\n  - 2\n  vectors: null\n"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MB; skip where none can be mounted."""
    (disk := tmp_path / "disk").mkdir()
    mount = [*AS_ROOT, "mount", "-t", "tmpfs", "-o", f"size=1m,uid={os.getuid()}", "tmpfs", disk]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system can be mounted by root alone")
    yield disk
    subprocess.run([*AS_ROOT, "umount", disk], check=True)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new store's tables, which take MLflow seconds to make."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_store: Path) -> Path:
    """A repository with a store of its own."""
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "params.yaml").write_text(PARAMS)
    shutil.copyfile(empty_store, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    for name in (
        "MLFLOW_TRACKING_URI",
        "MLFLOW_EXPERIMENT_NAME",
        "MLFLOW_EXPERIMENT_ID",
        "TITLES_TRACKING",
        "DVC_STAGE",
        "DVC_EXP_NAME",
    ):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small pipeline, run and committed, without a server; run once for all of pytest's processes."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder, is_done = shared / "first_run", shared / "first_run.done"
    with FileLock(shared / "first_run.lock"):
        if not is_done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            repository = committed(folder)
            repository.run("dvc", "repro", tracking="on")
            repository.commit("first run")
            is_done.touch()
    return folder


@pytest.fixture(scope="module")
def repository(first_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A copy of it."""
    folder = tmp_path_factory.mktemp("repository") / "copy"
    shutil.copytree(first_run, folder, symlinks=True)
    return Repository(folder)


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


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Skips where it is not installed."""
    program = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    if not Path(program).exists():
        pytest.skip("Chromium is not installed: apt-get install chromium, or name it in CHROMIUM")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=program, args=arguments, timeout=SECONDS * 1000)
        yield browser
        browser.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the files that take minutes first, beside all others; of those that share `first_run`, one at the start."""
    longest = [
        "test_experiments.py",
        "test_server_store.py",
        "test_shapes.py",
        "test_spark.py",
        "test_checkpoint.py",
        "test_reproduction.py",
        "test_pipeline.py",
        "test_server_death.py",
        "test_page.py",
    ]
    items.sort(key=lambda item: longest.index(item.path.name) if item.path.name in longest else len(longest))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Fail where CI must not skip: whatever a test needs is there, but for a GPU and the real titles."""
    expected = ("needs a GPU", "TITLES_REAL_DATA")
    reasons = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    unexpected = [reason for reason in reasons if not any(text in reason for text in expected)]
    if unexpected and os.environ.get("TITLES_FAIL_ON_SKIP"):
        terminalreporter.write_line(f"{len(unexpected)} tests were skipped without being expected to be", red=True)
        terminalreporter._session.exitstatus = pytest.ExitCode.TESTS_FAILED
