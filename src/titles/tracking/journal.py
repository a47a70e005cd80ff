"""What a stage said and the store has not taken yet, on disk, so that neither a kill nor an outage loses it.

ROOT/.dvc/tmp/mlflow/PIPELINE/            there once the store has been reached in that run of the pipeline
ROOT/.dvc/tmp/mlflow/PIPELINE/STAGE/      there until the store has all of that stage
    journal.jsonl                         which stage it is, then what is not in the store, a JSON object a line
    lock                                  held by the process that delivers it
    0/ 1/ …                               files to be logged, as the next run writes over the originals
"""

import json
import shutil
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from titles.tracking.pipeline import is_alive

Event = dict[str, Any]


def pipelines_folder(root: Path) -> Path:
    return root / ".dvc/tmp/mlflow"


class Journal:
    """The events of one stage in their order. Whoever delivers them holds the lock, which ends with its process."""

    def __init__(self, folder: Path, begin: Event | None = None) -> None:
        """A new journal that starts with `begin`, or the one that lies in `folder`; raises Timeout where it is held."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.lock = FileLock(folder / "lock")
        self.lock.acquire(timeout=0)
        if begin is None:
            lines = (folder / "journal.jsonl").read_text(encoding="utf-8").splitlines()
            self.begin, *pending = map(json.loads, lines)
            self.pending: deque[Event] = deque(pending)
        else:
            self.begin, self.pending = begin, deque()
            self._write()

    def add(self, event: Event) -> None:
        self.pending.append(event)
        self._write()

    def drop_first(self) -> None:
        """The first event is in the store."""
        self.pending.popleft()
        self._write()

    def keep(self, files: list[Path]) -> str:
        """Copies the files into a folder of their own beside the journal, and returns it."""
        kept = self.folder / str(sum(path.is_dir() for path in self.folder.iterdir()))
        kept.mkdir()
        for file in files:
            shutil.copy(file, kept)
        return str(kept)

    def remove(self) -> None:
        """All is in the store."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.lock.release()

    def _write(self) -> None:
        written = self.folder / "journal.new"
        written.write_text("".join(json.dumps(event) + "\n" for event in [self.begin, *self.pending]), encoding="utf-8")
        written.replace(self.folder / "journal.jsonl")


def left_behind(root: Path) -> Iterator[Journal]:
    """The journals that nobody delivers, the oldest first; removes the folders of pipelines that are over."""
    found = sorted(pipelines_folder(root).glob("*/*/journal.jsonl"), key=lambda path: path.stat().st_mtime)
    for path in found:
        try:
            yield Journal(path.parent)
        except (Timeout, FileNotFoundError):
            continue
    for folder in pipelines_folder(root).glob("*"):
        if not is_alive(folder.name) and not any(folder.iterdir()):
            shutil.rmtree(folder, ignore_errors=True)
