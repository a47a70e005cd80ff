"""The spool: events of a stage that are not in the store yet, on disk, so that no kill and no outage loses them.

.dvc/tmp/mlflow/PIPELINE/         exists once this run of the pipeline has reached the store
.dvc/tmp/mlflow/PIPELINE/STAGE/   exists until all events of the stage are in the store
    journal.jsonl                 the first event of the stage, then the pending events, one JSON object per line
    lock                          held by the process that uploads the events
    report/ tables/ plots/ mlp/ cnn/
                                  copies of the files to log, as the next run overwrites the originals

Only the owner can read the folder of a pipeline.
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
    """The pending events of one stage in their order. The process that holds it has a lock, released when it ends."""

    def __init__(self, folder: Path, begin: Event | None = None) -> None:
        """Create a spool that starts with the event `begin`, or open the one in `folder`, and lock it.

        Raise Timeout if another process holds it, and FileNotFoundError or ValueError if it cannot be read.
        """
        self.folder, self.path = folder, folder / "journal.jsonl"
        if begin:
            folder.parent.mkdir(mode=PRIVATE_MODE, parents=True, exist_ok=True)
            # An earlier version may have created it with another mode.
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
        """Return the events of all complete lines. After a power failure the last line may be incomplete."""
        first, *lines = self.path.read_bytes().splitlines() or [b""]
        begin = parse_event(first)
        if begin is None:
            raise ValueError("its first line is not the first event of a stage")
        events = [parse_event(line) for line in lines]
        if None in events:
            log.warning("%s: %d lines cannot be read and are left out", self.path, events.count(None))
        return [begin, *(event for event in events if event is not None)]

    def add(self, event: Event) -> None:
        """Append a pending event, on disk too."""
        self.pending.append(event)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_to_json_line(event))

    def save(self) -> None:
        """Write the file again, without the events that were removed from `pending`."""
        written = self.folder / "journal.new"
        with open(written, "w", encoding="utf-8", opener=_open_private) as file:
            file.writelines(_to_json_line(event) for event in [self.begin, *self.pending])
            file.flush()
            os.fsync(file.fileno())
        written.replace(self.path)

    def copy_files(self, name: str, files: Iterable[Path], link: bool = False) -> str:
        """Copy files into the folder `name` of the spool, and return the name.

        `link` makes hard links, which take no disk space. Use it for files that are replaced but never modified.
        """
        copies = self.folder / name
        copies.mkdir()
        for file in files:
            try:
                (os.link if link else shutil.copy)(file, copies / file.name)
            except OSError:
                shutil.copy(file, copies)
        return name

    def remove(self) -> None:
        """Delete the spool, once all its events are in the store."""
        self.path.unlink()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.lock.release()


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _to_json_line(event: Event) -> str:
    return json.dumps(event, default=str) + "\n"


def parse_event(line: str | bytes) -> Event | None:
    """Return the event, or None if the line is not a JSON object."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def unsent_spools(root: Path) -> Iterator[Spool]:
    """Yield the spools for this store that no process holds, oldest first, and warn of those for another store.

    Delete the empty folders of pipelines that have ended.
    """
    modified = {}
    for path in spool_folder(root).glob("*/*/journal.jsonl"):
        with suppress(FileNotFoundError):
            modified[path] = path.stat().st_mtime
    for path in sorted(modified, key=lambda path: modified[path]):
        try:
            spool = Spool(path.parent)
        except (Timeout, FileNotFoundError):
            continue
        except ValueError as error:
            log.warning("%s cannot be read and is set aside as journal.broken: %s", path, error)
            path.rename(path.with_suffix(".broken"))
            continue
        # Earlier versions stored the address with its credentials.
        store = redact(spool.begin.get("store", ""))
        if store in (store_name(root), redact(tracking_uri(root))):
            yield spool
        else:
            log.warning("%s is for %s; set MLFLOW_TRACKING_URI to that store to send it", path, store)
            spool.lock.release()
    for folder in spool_folder(root).glob("*"):
        if not is_alive(folder.name):
            # Fails if the folder still has a spool.
            with suppress(OSError):
                folder.rmdir()
