"""Puts in MLflow what a stage says on standard input: `python -m titles.tracking.worker`, started by the stage.

A line on standard output answers the first: `{}` when work may begin, `{"error": …}` when it should not. Where input
ends without an end, the stage was killed.
"""

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
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

STAGE_KILLED = "the stage was killed before it ended; if nobody did, it may have run out of memory"
WORKER_KILLED = "the recorder of the stage was killed; how the stage ended is not known"


def main() -> None:
    """Serves the stage until its input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The stage reads the one answer; what libraries print goes to the log.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    redact_logs()
    # A byte that is no text spoils its line, not those that follow.
    sys.stdin = os.fdopen(sys.stdin.fileno(), encoding="utf-8", errors="replace")
    events = read_events()
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
            _reply(answers, {"error": str(error)})
            return
    journal = Spool(folder / begin["stage"], begin)
    _reply(answers, {})
    process_events(root, journal, events)


def process_events(root: Path, spool: Spool, events: Iterator[Event]) -> None:
    """Delivers what the stage says, then what others could not deliver."""
    # Costs seconds, which a stage that is not the first need not wait for. The rest is loaded by now, as a temporary
    # experiment's checkout is gone as soon as its stage is.
    from titles.tracking.uploader import Uploader

    delivery = Uploader(root, spool)
    delivery.try_upload()
    for event in ensure_end(events):
        try:
            for part in expand_event(event, spool):
                spool.add(part)
        except Exception as error:  # The end of the stage is still to come.
            log.warning("MLflow: the %s of the stage is left out: %s", next(iter(event)), error)
        if "end" not in event:
            delivery.try_upload()
    if delivery.finish():
        upload_unsent(root)


def read_events() -> Iterator[Event]:
    """What stands on standard input, read as it comes, so that a store that hangs never makes the stage wait."""
    events: SimpleQueue[Event | None] = SimpleQueue()

    def listen() -> None:
        try:
            for line in sys.stdin:
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
    """The event with all it needs to be delivered later, when the files of the stage may be others."""
    if "params" in event:
        yield event
        notes = {"pipeline": pipeline_note(spool.begin["pipeline"], event["params"])}
        yield {"notes": notes | {"stage": stage_note(spool.begin["stage"])}}
    elif "results" in event:
        yield event
        folder = Path(event["folder"])
        with TemporaryDirectory() as drawn:
            written = [
                spool.copy_files("report", folder.glob("*.html")),
                spool.copy_files("tables", folder.glob("*.csv")),
            ]
            yield {
                "files": [*written, spool.copy_files("plots", _call_or_default(lambda: draw_plots(Path(drawn)), []))]
            }
    elif "network" in event:
        folder = Path(event["folder"])
        kept = spool.copy_files(event["network"], folder.iterdir(), link=True)
        yield event | {"folder": kept, "hash": _call_or_default(lambda: output_hash(folder), "")}
    elif "end" in event:
        yield {"hashes": _call_or_default(lambda: stage_hashes(event["end"] == "FINISHED"), {})}
        yield from _split_error(event)
    else:
        yield event


def _split_error(end: Event) -> Iterator[Event]:
    """The error, and the end without it: a text that the store refuses must not leave the run without an end."""
    error = end.pop("error", None)
    if error:
        yield {"error": error}
    yield end


def _call_or_default(function: Callable[[], Any], default: Any) -> Any:
    """What DVC answers. A stage that is done is done, whatever cannot be found out about it."""
    try:
        return function()
    except Exception as error:
        log.warning("DVC was asked in vain, which will be missing in MLflow: %s: %s", type(error).__name__, error)
        return default


def upload_unsent(root: Path) -> bool:
    """Sends what could not be sent before, and returns whether all is; a stage without a recorder has ended."""
    from titles.tracking.uploader import Uploader

    done = True
    for journal in unsent_spools(root):
        is_ended = journal.pending and "end" in journal.pending[-1]
        # Earlier versions kept the error in the end.
        for event in _split_error(journal.pending.pop() if is_ended else _failed_event(WORKER_KILLED)):
            journal.add(event)
        done &= Uploader(root, journal, live=False).finish()
        journal.lock.release()
    return done


def _reply(stream: IO[str], reply: dict[str, str]) -> None:
    # A stage that was refused does not wait for it.
    with suppress(BrokenPipeError), stream:
        print(json.dumps(reply), file=stream)


def ensure_end(events: Iterator[Event]) -> Iterator[Event]:
    """The events, and an end where the stage came to none."""
    for event in events:
        yield event
        if "end" in event:
            return
    yield _failed_event(STAGE_KILLED)


def _failed_event(error: str) -> Event:
    return {"end": "FAILED", "error": error, "time": int(time.time() * 1000)}


if __name__ == "__main__":
    main()
