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
from titles.mlflow_store.dvc_lineage import draw_plots, hash_of, hashes_of_stage
from titles.mlflow_store.notes import pipeline_note, stage_note
from titles.mlflow_store.paths import experiment_name, journals
from titles.tracking.spool import Event, Journal, left_behind, parsed

log = logging.getLogger(__name__)

KILLED = "the stage was killed before it ended; if nobody did, it may have run out of memory"
LOST = "the recorder of the stage was killed; how the stage ended is not known"


def main() -> None:
    """Serves the stage until its input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The stage reads the one answer; what libraries print goes to the log.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    redact_logs()
    # A byte that is no text spoils its line, not those that follow.
    sys.stdin = os.fdopen(sys.stdin.fileno(), encoding="utf-8", errors="replace")
    events = heard()
    begin = next(events, None)
    if begin is None:
        return
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s {begin['stage']}: %(message)s", datefmt="%H:%M:%S")
    root = Path(begin["root"])
    begin |= {"store": store_name(root), "experiment": experiment_name()}
    folder = journals(root) / begin["pipeline"]["key"]
    if not folder.is_dir():
        from titles.tracking.uploader import reach

        try:
            reach(root)
        except InputError as error:
            _answer(answers, {"error": str(error)})
            return
    journal = Journal(folder / begin["stage"], begin)
    _answer(answers, {})
    serve(root, journal, events)


def serve(root: Path, journal: Journal, events: Iterator[Event]) -> None:
    """Delivers what the stage says, then what others could not deliver."""
    # Costs seconds, which a stage that is not the first need not wait for. The rest is loaded by now, as a temporary
    # experiment's checkout is gone as soon as its stage is.
    from titles.tracking.uploader import Delivery

    delivery = Delivery(root, journal)
    delivery.attempt()
    for event in ended(events):
        try:
            for part in completed(event, journal):
                journal.add(part)
        except Exception as error:  # The end of the stage is still to come.
            log.warning("MLflow: the %s of the stage is left out: %s", next(iter(event)), error)
        if "end" not in event:
            delivery.attempt()
    if delivery.finish():
        deliver_left_behind(root)


def heard() -> Iterator[Event]:
    """What stands on standard input, read as it comes, so that a store that hangs never makes the stage wait."""
    events: SimpleQueue[Event | None] = SimpleQueue()

    def listen() -> None:
        try:
            for line in sys.stdin:
                if event := parsed(line):
                    events.put(event)
                else:
                    log.warning("MLflow: a line of the stage cannot be read and is left out: %.80r", line)
        finally:
            events.put(None)

    Thread(target=listen, daemon=True).start()
    while event := events.get():
        yield event


def completed(event: Event, journal: Journal) -> Iterator[Event]:
    """The event with all it needs to be delivered later, when the files of the stage may be others."""
    if "params" in event:
        yield event
        notes = {"pipeline": pipeline_note(journal.begin["pipeline"], event["params"])}
        yield {"notes": notes | {"stage": stage_note(journal.begin["stage"])}}
    elif "results" in event:
        yield event
        folder = Path(event["folder"])
        with TemporaryDirectory() as drawn:
            written = [journal.keep("report", folder.glob("*.html")), journal.keep("tables", folder.glob("*.csv"))]
            yield {"files": [*written, journal.keep("plots", _known(lambda: draw_plots(Path(drawn)), []))]}
    elif "network" in event:
        folder = Path(event["folder"])
        kept = journal.keep(event["network"], folder.iterdir(), link=True)
        yield event | {"folder": kept, "hash": _known(lambda: hash_of(folder), "")}
    elif "end" in event:
        yield {"hashes": _known(lambda: hashes_of_stage(event["end"] == "FINISHED"), {})}
        yield from _in_parts(event)
    else:
        yield event


def _in_parts(end: Event) -> Iterator[Event]:
    """The error, and the end without it: a text that the store refuses must not leave the run without an end."""
    error = end.pop("error", None)
    if error:
        yield {"error": error}
    yield end


def _known(ask: Callable[[], Any], otherwise: Any) -> Any:
    """What DVC answers. A stage that is done is done, whatever cannot be found out about it."""
    try:
        return ask()
    except Exception as error:
        log.warning("DVC was asked in vain, which will be missing in MLflow: %s: %s", type(error).__name__, error)
        return otherwise


def deliver_left_behind(root: Path) -> bool:
    """Sends what could not be sent before, and returns whether all is; a stage without a recorder has ended."""
    from titles.tracking.uploader import Delivery

    done = True
    for journal in left_behind(root):
        is_ended = journal.pending and "end" in journal.pending[-1]
        # Earlier versions kept the error in the end.
        for event in _in_parts(journal.pending.pop() if is_ended else _failed(LOST)):
            journal.add(event)
        done &= Delivery(root, journal, live=False).finish()
        journal.lock.release()
    return done


def _answer(answers: IO[str], answer: dict[str, str]) -> None:
    # A stage that was refused does not wait for it.
    with suppress(BrokenPipeError), answers:
        print(json.dumps(answer), file=answers)


def ended(events: Iterator[Event]) -> Iterator[Event]:
    """The events, and an end where the stage came to none."""
    for event in events:
        yield event
        if "end" in event:
            return
    yield _failed(KILLED)


def _failed(error: str) -> Event:
    return {"end": "FAILED", "error": error, "time": int(time.time() * 1000)}


if __name__ == "__main__":
    main()
