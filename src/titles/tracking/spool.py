"""What a stage said and the store has not taken yet, on disk, so that neither a kill nor an outage loses it.

JOURNALS/PIPELINE/            there once the store has been reached in that run of the pipeline
JOURNALS/PIPELINE/STAGE/      there until the store has all of that stage
    journal.jsonl             which stage it is, then what is not in the store, a JSON object a line
    lock                      held by the process that delivers it
    report/ tables/ plots/ mlp/ cnn/
                              files to be logged, as the next run writes over the originals

Only their owner can read what lies in a pipeline's folder.
"""

import json
import logging
import os
import shutil
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from titles.mlflow_store.credentials import redact, store_name
from titles.mlflow_store.paths import spool_folder, tracking_uri
from titles.tracking.pipeline_run import is_alive

log = logging.getLogger(__name__)

Event = dict[str, Any]
PRIVATE_MODE = 0o700


class Spool:
    """The events of one stage in their order. Whoever delivers them holds the lock, which ends with its process."""

    def __init__(self, folder: Path, begin: Event | None = None) -> None:
        """A new journal that starts with `begin`, or the one that lies in `folder`.

        Raises Timeout where another process holds it, FileNotFoundError or ValueError where none can be read.
        """
        self.folder, self.path = folder, folder / "journal.jsonl"
        if begin:
            folder.parent.mkdir(mode=PRIVATE_MODE, parents=True, exist_ok=True)
            # It may be there from an earlier version.
            folder.parent.chmod(PRIVATE_MODE)
            folder.mkdir(exist_ok=True)
        elif not self.path.exists():
            raise FileNotFoundError(self.path)
        self.lock = FileLock(folder / "lock")
        self.lock.acquire(timeout=0)
        self.begin, *pending = [begin] if begin else self._read()
        self.pending = deque(pending)
        self.save()

    def _read(self) -> list[Event]:
        """The events of the lines that are whole; a machine that lost power may have written half a line."""
        first, *lines = self.path.read_bytes().splitlines() or [b""]
        begin = parse_event(first)
        if begin is None:
            raise ValueError("the first line does not say which stage it is")
        events = [parse_event(line) for line in lines]
        if None in events:
            log.warning("%s: %d lines cannot be read and are left out", self.path, events.count(None))
        return [begin, *(event for event in events if event is not None)]

    def add(self, event: Event) -> None:
        self.pending.append(event)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_to_json_line(event))

    def save(self) -> None:
        """Leaves out what has been taken from `pending`."""
        written = self.folder / "journal.new"
        with open(written, "w", encoding="utf-8", opener=_open_private) as file:
            file.writelines(_to_json_line(event) for event in [self.begin, *self.pending])
            file.flush()
            os.fsync(file.fileno())
        written.replace(self.path)

    def copy_files(self, name: str, files: Iterable[Path], link: bool = False) -> str:
        """Copies files into a folder of that name beside the journal, and returns the name.

        `link` takes no room, and is for files that are replaced and never written to again.
        """
        kept = self.folder / name
        kept.mkdir()
        for file in files:
            try:
                (os.link if link else shutil.copy)(file, kept / file.name)
            except OSError:
                shutil.copy(file, kept)
        return name

    def remove(self) -> None:
        """All is in the store."""
        self.path.unlink()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.lock.release()


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _to_json_line(event: Event) -> str:
    return json.dumps(event, default=str) + "\n"


def parse_event(line: str | bytes) -> Event | None:
    """None where the line is no JSON object."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def unsent_spools(root: Path) -> Iterator[Spool]:
    """The journals for this store that nobody delivers, the oldest first; says which are for another.

    Removes the folders of pipelines that are over.
    """
    found = {}
    for path in spool_folder(root).glob("*/*/journal.jsonl"):
        with suppress(FileNotFoundError):
            found[path] = path.stat().st_mtime
    for path in sorted(found, key=lambda path: found[path]):
        try:
            journal = Spool(path.parent)
        except (Timeout, FileNotFoundError):
            continue
        except ValueError as error:
            log.warning("%s cannot be read and is set aside as journal.broken: %s", path, error)
            path.rename(path.with_suffix(".broken"))
            continue
        # Earlier versions wrote the address in full.
        store = redact(journal.begin.get("store", ""))
        if store in (store_name(root), redact(tracking_uri(root))):
            yield journal
        else:
            log.warning("%s is for %s; name that by MLFLOW_TRACKING_URI to send it", path, store)
            journal.lock.release()
    for folder in spool_folder(root).glob("*"):
        if not is_alive(folder.name):
            # Not empty where something is still to be sent.
            with suppress(OSError):
                folder.rmdir()
