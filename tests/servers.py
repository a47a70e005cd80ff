"""Real servers: MLflow's, on a real PostgreSQL, which a test may kill, and those of a model."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from tests.repository import SECONDS

SOURCE = Path(__file__).parents[1] / "src"


reserved: list[socket.socket] = []


def free_port() -> int:
    """Reserve a port until the tests end, so that nothing else gets it before a server listens, or between two."""
    bound = socket.socket()
    # With this, Linux lets a server bind a port that is bound, but not listened on, and gives it to nobody who asks for
    # any port.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", 0))
    port = int(bound.getsockname()[1])
    if sys.platform == "linux":
        reserved.append(bound)
    else:
        bound.close()
    return port


def postgresql_programs() -> Path | None:
    """The folder of initdb and pg_ctl, which Debian keeps off the path; None where PostgreSQL is absent."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    named = shutil.which("initdb")
    return found[-1].parent if found else Path(named).parent if named else None


class PostgreSQL:
    """A database cluster of its own in a folder that goes with it."""

    def __init__(self, programs: Path) -> None:
        self.programs, self.port = programs, free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="titles-postgresql-"))
        self.uri = f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres")
        self._run("initdb", "--pgdata", "data", "--username", "postgres", "--auth", "trust", "--no-sync")
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._run(
            "pg_ctl",
            "--pgdata",
            "data",
            "--log",
            "log",
            "--wait",
            "--timeout",
            str(SECONDS),
            "--options",
            options,
            "start",
        )

    def stop(self) -> None:
        self._run("pg_ctl", "--pgdata", "data", "--mode", "immediate", "stop")
        shutil.rmtree(self.folder)

    def _run(self, program: str, *arguments: str) -> None:
        # PostgreSQL refuses to run as root.
        user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        command = [*user, str(self.programs / program), *arguments]
        subprocess.run(command, cwd=self.folder, check=True, stdout=subprocess.DEVNULL)


class MlflowServer:
    """`mlflow server` on a database, at the same address whenever it is started."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder, self.database, self.port = folder, database, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", self.database, "--workers", "1"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        with (self.folder / "log").open("a") as log:
            environment = os.environ | {
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                "MLFLOW_DISABLE_TELEMETRY": "true",
            }
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        _wait_for(f"{self.uri}/health", self.process, self.folder / "log")

    def kill(self) -> None:
        """With its workers, as a crash of the machine would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class TitlesServer:
    """`titles serve` for a model folder, with more options."""

    def __init__(self, model: Path, log: Path, *options: str) -> None:
        self.model, self.log, self.options, self.port = model, log, options, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "titles", "serve", str(self.model), "--port", str(self.port), *self.options]
        environment = os.environ | {"PYTHONPATH": str(SOURCE)}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        _wait_for(f"{self.uri}/ready", self.process, self.log)

    def stop(self) -> int:
        """Asks it to end, as a service manager does; gives its exit status."""
        self.process.terminate()
        return self.process.wait(timeout=SECONDS)


class ModelServer:
    """MLflow's own server of a model."""

    def __init__(self, model: str, store: str, log: Path) -> None:
        self.model, self.store, self.log, self.port = model, store, log, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", self.model]
        command += ["--env-manager", "local", "--port", str(self.port)]
        environment = os.environ | {"MLFLOW_TRACKING_URI": self.store, "MLFLOW_DISABLE_TELEMETRY": "true"}
        # It starts `uvicorn`, which stands beside this Python.
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        _wait_for(f"{self.uri}/ping", self.process, self.log)

    def kill(self) -> None:
        """With its workers."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server answers; raise TimeoutError with its log where it ends or never does."""
    end = time.monotonic() + SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(address, timeout=10):
                return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(log.read_text())
