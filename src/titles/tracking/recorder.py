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
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from titles.errors import InputError
from titles.tracking.journal import Event, Journal, left_behind, pipelines_folder

log = logging.getLogger(__name__)

KILLED = "the stage was killed before it ended; if nobody did, it may have run out of memory"


def main() -> None:
    """Serves the stage until its input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    events = map(json.loads, sys.stdin)
    begin = next(events, None)
    if begin is None:
        return
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s {begin['stage']}: %(message)s", datefmt="%H:%M:%S")
    root = Path(begin["root"])
    folder = pipelines_folder(root) / begin["pipeline"]["key"]
    if not folder.is_dir():
        from titles.tracking.delivery import reach

        try:
            reach(root)
        except InputError as error:
            _answer({"error": str(error)})
            return
    journal = Journal(folder / begin["stage"], begin)
    _answer({})
    # Costs seconds, which a stage that is not the first need not wait for.
    from titles.tracking.delivery import Delivery

    delivery = Delivery(root, journal)
    if delivery.attempt():
        deliver_left_behind(root)
    for event in ended(events):
        for part in completed(event, journal):
            journal.add(part)
        if "end" in event:
            delivery.finish()
        else:
            delivery.attempt()


def completed(event: Event, journal: Journal) -> Iterator[Event]:
    """The event with all it needs to be delivered later, when the files of the stage may be others."""
    if "params" in event or "metrics" in event:
        yield event
        return
    # Loads DVC, which while the stage is at work would only take memory.
    from titles.tracking.lineage import draw_plots, hash_of, hashes_of_stage

    if "results" in event:
        tables = journal.keep(list(Path(event["folder"]).glob("*.csv")))
        with TemporaryDirectory() as drawn:
            plots = journal.keep(_known(lambda: draw_plots(Path(drawn)), []))
        yield event | {"tables": tables, "plots": plots}
    elif "network" in event:
        folder = Path(event["folder"]).resolve()
        yield event | {"folder": str(folder), "hash": _known(lambda: hash_of(folder), "")}
    else:
        yield {"hashes": _known(hashes_of_stage, {})}
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
            journal.add(_killed())
        done &= Delivery(root, journal, live=False).finish()
    return done


def _answer(answer: dict[str, str]) -> None:
    """Answers the stage, which reads no more than that, so that what libraries print goes to the log."""
    try:
        print(json.dumps(answer), flush=True)
    except BrokenPipeError:
        log.debug("the stage did not wait")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())


def ended(events: Iterator[Event]) -> Iterator[Event]:
    """The events, and an end where the stage came to none."""
    for event in events:
        yield event
        if "end" in event:
            return
    yield _killed()


def _killed() -> Event:
    return {"end": "FAILED", "error": KILLED, "time": int(time.time() * 1000)}


if __name__ == "__main__":
    main()
