"""The tracking worker: log the events of a stage to MLflow. The stage starts it: `python -m titles.tracking.worker`.

The stage writes events to standard input. After the first, the worker writes one line to standard output: `{}` if the
stage may start, `{"error": …}` if it must not. If the input ends without an end event, the stage was killed.
"""

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from threading import Thread
from typing import IO, Any

from titles.core.errors import InputError
from titles.mlflow_store.credentials import redact_logs, store_name
from titles.mlflow_store.dvc_lineage import draw_plots, output_hash, stage_hashes
from titles.mlflow_store.notes import pipeline_note, stage_note
from titles.mlflow_store.paths import experiment_id, experiment_name, spool_folder
from titles.tracking.spool import Event, Spool, parse_event, unsent_spools

log = logging.getLogger(__name__)

STAGE_KILLED = "the stage was killed before it ended; if nobody killed it, it may have run out of memory"
WORKER_KILLED = "the tracking worker of the stage was killed, so it was not logged how the stage ended"


def main() -> None:
    """Log the events that arrive on standard input until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Standard output is for the one reply; what libraries print goes to standard error.
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    redact_logs()
    # Bytes that are not UTF-8 make one line invalid, not all that follow.
    lines = os.fdopen(sys.stdin.fileno(), encoding="utf-8", errors="replace")
    log_stage(lines, replies)


def log_stage(lines: Iterable[str], replies: IO[str]) -> None:
    """Log a stage by the lines it writes, an event each; write one reply after the first."""
    events = read_events(lines)
    begin = next(events, None)
    if begin is None:
        return
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s {begin['stage']}: %(message)s", datefmt="%H:%M:%S")
    root = Path(begin["root"])
    begin |= {"store": store_name(root), "experiment": experiment_name(), "experiment_id": experiment_id()}
    folder = spool_folder(root) / begin["pipeline"]["key"]
    if not folder.is_dir():
        from titles.tracking.uploader import connect

        try:
            connect(root)
        except InputError as error:
            _reply(replies, {"error": str(error)})
            return
    spool = Spool(folder / begin["stage"], begin)
    _reply(replies, {})
    process_events(root, spool, events)


def process_events(root: Path, spool: Spool, events: Iterator[Event]) -> None:
    """Upload the events of the stage, then the spools that earlier stages could not upload."""
    # This import takes seconds, for which only the first stage has to wait. It cannot be later: DVC removes the
    # checkout of a temporary experiment, with this code, as soon as the stage ends.
    from titles.tracking.uploader import Uploader

    uploader = Uploader(root, spool)
    uploader.try_upload()
    for event in ensure_end(events):
        try:
            for expanded in expand_event(event, spool):
                spool.add(expanded)
        except Exception as error:  # The other events must still be logged, above all the end.
            log.warning("MLflow: the %s of the stage is left out: %s", next(iter(event)), error)
        if "end" not in event:
            uploader.try_upload()
    if uploader.finish():
        upload_unsent(root)


def read_events(lines: Iterable[str]) -> Iterator[Event]:
    """Yield the events of the lines. A thread reads them, so that a store that hangs never blocks the stage."""
    events: SimpleQueue[Event | None] = SimpleQueue()

    def listen() -> None:
        try:
            for line in lines:
                if event := parse_event(line):
                    events.put(event)
                else:
                    log.warning("MLflow: a line of the stage cannot be read and is left out: %.80r", line)
        finally:
            events.put(None)

    Thread(target=listen, daemon=True).start()
    while event := events.get():
        yield event


def expand_event(event: Event, spool: Spool) -> Iterator[Event]:
    """Yield the event with all it needs to be uploaded later, when the files of the stage may have changed."""
    if "params" in event:
        yield event
        notes = {"pipeline": pipeline_note(spool.begin["pipeline"], event["params"])}
        yield {"notes": notes | {"stage": stage_note(spool.begin["stage"])}}
    elif "results" in event:
        yield event
        folder = Path(event["folder"])
        with TemporaryDirectory() as plots_folder:
            report = spool.copy_files("report", folder.glob("*.html"))
            tables = spool.copy_files("tables", folder.glob("*.csv"))
            plots = _call_or_default(lambda: draw_plots(Path(plots_folder)), [])
            yield {"files": [report, tables, spool.copy_files("plots", plots)]}
    elif "network" in event:
        folder = Path(event["folder"])
        copy = spool.copy_files(event["network"], folder.iterdir(), link=True)
        yield event | {"folder": copy, "hash": _call_or_default(lambda: output_hash(folder), "")}
    elif "end" in event:
        yield {"hashes": _call_or_default(lambda: stage_hashes(event["end"] == "FINISHED"), {})}
        yield from _split_error(event)
    else:
        yield event


def _split_error(end: Event) -> Iterator[Event]:
    """Yield the error and the end as two events, so that the run ends even if the store refuses the text."""
    error = end.pop("error", None)
    if error:
        yield {"error": error}
    yield end


def _call_or_default(function: Callable[[], Any], default: Any) -> Any:
    """Call a function that queries DVC. On an error, warn and return `default`, so that the event is logged."""
    try:
        return function()
    except Exception as error:
        log.warning("a query to DVC failed, so its result is missing in MLflow: %s: %s", type(error).__name__, error)
        return default


def upload_unsent(root: Path) -> bool:
    """Upload the spools that no worker holds; return whether all are uploaded.

    If a spool has no end, its worker was killed: end the run as FAILED.
    """
    from titles.tracking.uploader import Uploader

    is_complete = True
    for spool in unsent_spools(root):
        is_ended = spool.pending and "end" in spool.pending[-1]
        # Earlier versions stored the error in the end event.
        for event in _split_error(spool.pending.pop() if is_ended else _failed_event(WORKER_KILLED)):
            spool.add(event)
        is_complete &= Uploader(root, spool, live=False).finish()
        spool.lock.release()
    return is_complete


def _reply(stream: IO[str], reply: dict[str, str]) -> None:
    # A stage with invalid input does not wait for the reply.
    with suppress(BrokenPipeError), stream:
        print(json.dumps(reply), file=stream)


def ensure_end(events: Iterator[Event]) -> Iterator[Event]:
    """Yield the events up to the end; if there is no end, yield one that says that the stage was killed."""
    for event in events:
        yield event
        if "end" in event:
            return
    yield _failed_event(STAGE_KILLED)


def _failed_event(error: str) -> Event:
    return {"end": "FAILED", "error": error, "time": int(time.time() * 1000)}


if __name__ == "__main__":
    main()
