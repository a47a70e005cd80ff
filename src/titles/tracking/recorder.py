"""Puts in MLflow what a stage says on standard input: `python -m titles.tracking.recorder`, started by the stage.

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

from titles.errors import InputError
from titles.tracking.journal import Event, Journal, left_behind
from titles.tracking.location import journals

log = logging.getLogger(__name__)

KILLED = "the stage was killed before it ended; if nobody did, it may have run out of memory"
LOST = "the recorder of the stage was killed; how the stage ended is not known"


def main() -> None:
    """Serves the stage until its input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The stage reads the one answer; what libraries print goes to the log.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    events = heard()
    begin = next(events, None)
    if begin is None:
        return
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s {begin['stage']}: %(message)s", datefmt="%H:%M:%S")
    root = Path(begin["root"])
    folder = journals(root) / begin["pipeline"]["key"]
    if not folder.is_dir():
        from titles.tracking.delivery import reach

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
    # Costs seconds, which a stage that is not the first need not wait for.
    from titles.tracking.delivery import Delivery

    delivery = Delivery(root, journal)
    delivery.attempt()
    for event in ended(events):
        for part in completed(event, journal):
            journal.add(part)
        if "end" not in event:
            delivery.attempt()
    if delivery.finish():
        deliver_left_behind(root)


def heard() -> Iterator[Event]:
    """What stands on standard input, read as it comes, so that a store that hangs never makes the stage wait."""
    events: SimpleQueue[Event | None] = SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            events.put(json.loads(line))
        events.put(None)

    Thread(target=listen, daemon=True).start()
    while event := events.get():
        yield event


def completed(event: Event, journal: Journal) -> Iterator[Event]:
    """The event with all it needs to be delivered later, when the files of the stage may be others."""
    if "params" in event or "metrics" in event:
        yield event
        return
    # Loads DVC, which while the stage is at work would only take memory.
    from titles.tracking.lineage import draw_plots, hash_of, hashes_of_stage

    if "results" in event:
        yield event
        folder = Path(event["folder"])
        with TemporaryDirectory() as drawn:
            written = [journal.keep("report", folder.glob("*.html")), journal.keep("tables", folder.glob("*.csv"))]
            yield {"files": [*written, journal.keep("plots", _known(lambda: draw_plots(Path(drawn)), []))]}
    elif "network" in event:
        folder = Path(event["folder"])
        kept = journal.keep(event["network"], folder.iterdir(), link=True)
        yield event | {"folder": kept, "hash": _known(lambda: hash_of(folder), "")}
    else:
        yield {"hashes": _known(lambda: hashes_of_stage(event["end"] == "FINISHED"), {})}
        yield event


def _known(ask: Callable[[], Any], otherwise: Any) -> Any:
    """What DVC answers. A stage that is done is done, whatever cannot be found out about it."""
    try:
        return ask()
    except Exception as error:
        log.warning("DVC was asked in vain, which will be missing in MLflow: %s: %s", type(error).__name__, error)
        return otherwise


def deliver_left_behind(root: Path) -> bool:
    """Sends what could not be sent before, and returns whether all is; a stage without a recorder has ended."""
    from titles.tracking.delivery import Delivery

    done = True
    for journal in left_behind(root):
        if not (journal.pending and "end" in journal.pending[-1]):
            journal.add(_failed(LOST))
        done &= Delivery(root, journal, live=False).finish()
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
