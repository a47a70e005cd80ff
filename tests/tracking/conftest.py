import os
from threading import Thread

import pytest

from titles.tracking import run
from titles.tracking.worker import log_stage


class WorkerThread:
    """The worker of a stage in a thread of this process, which has loaded MLflow before."""

    def __init__(self) -> None:
        lines, stage_end = os.pipe()
        worker_end, replies = os.pipe()
        self.stdin, self.stdout = os.fdopen(stage_end, "w"), os.fdopen(worker_end)
        self.thread = Thread(target=log_stage, args=(os.fdopen(lines), os.fdopen(replies, "w")))
        self.thread.start()

    def wait(self) -> None:
        self.thread.join()


@pytest.fixture
def worker_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages start their worker as a thread, so that a test takes no seconds to load MLflow anew."""
    monkeypatch.setattr(run, "_spawn_worker", WorkerThread)
