"""Brings what a stage said into the store, event by event in their order; an outage keeps what is left for later."""

import logging
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from titles.core.errors import InputError
from titles.mlflow_store.credentials import redact
from titles.mlflow_store.paths import tracking_uri
from titles.mlflow_store.store import Store
from titles.tracking.event_log import Runs, upload
from titles.tracking.pipeline_run import is_alive
from titles.tracking.spool import Event, Journal

log = logging.getLogger(__name__)
# It would tell of an outage a second time, and at every sample.
logging.getLogger("mlflow.system_metrics").setLevel(logging.CRITICAL)

SAMPLING_SECONDS, RETRY_SECONDS = 5, 30


def reach(root: Path, experiment: str | None = None) -> Store:
    """The store; raises InputError with what to do where it cannot be reached."""
    try:
        return Store(root, experiment)
    except InputError:
        raise
    except Exception as error:  # There are as many kinds as there are stores and drivers.
        raise InputError(
            f"MLflow at {redact(tracking_uri(root))} cannot be reached; start it, set MLFLOW_TRACKING_URI, "
            f"or run without it: TITLES_TRACKING=off ({type(error).__name__}: {redact(str(error))})"
        ) from None


class Delivery:
    """The journal of one stage on its way into the store."""

    def __init__(self, root: Path, journal: Journal, live: bool = True) -> None:
        """`live` while the stage is at work: then the machine is watched."""
        self.root, self.journal, self.live = root, journal, live
        self.monitor: Any = None
        self.outage = False
        self.retry_at = 0.0
        self.runs: Runs | None = None

    def attempt(self) -> bool:
        """Delivers what the journal holds, unless the store failed a moment ago; returns whether all is delivered."""
        if time.monotonic() < self.retry_at:
            return False
        over = False
        try:
            runs = self._find_runs()
            while self.journal.pending:
                over = "end" in self.journal.pending[0]
                self._deliver_or_give_up(runs, self.journal.pending[0])
                self.journal.pending.popleft()
        except Exception as error:
            self._stop_at(error)
            return False
        self.outage = False
        if over:
            self.journal.remove()
        else:
            self.journal.save()
            self._watch(runs)
        return True

    def finish(self) -> bool:
        """Delivers all at once, and says what remains in the journal; returns whether nothing does."""
        self.retry_at = 0.0
        done = self.attempt()
        if not done:
            stage = self.journal.begin["stage"]
            log.warning(
                "%d records of %s are not in MLflow yet; make sync sends them", len(self.journal.pending), stage
            )
        return done

    def _find_runs(self) -> Runs:
        if self.runs is None:
            store = Store(self.root, self.journal.begin.get("experiment"))
            self.runs = Runs.of(store, self.journal.begin, self.journal.folder)
            if self.live:
                store.client.update_run(self.runs.parent, "RUNNING")
        return self.runs

    def _deliver_or_give_up(self, runs: Runs, event: Event) -> None:
        """Raises where the store takes nothing; what it alone refuses is said to be missing."""
        for is_last in (False, True):
            try:
                self._end(runs, event) if "end" in event else upload(runs, event)
                return
            except Exception as error:
                if not runs.store.is_writable():
                    raise
                # The store may have come back just now, so it is asked twice.
                if is_last:
                    self._say_missing(runs, event, error)

    def _say_missing(self, runs: Runs, event: Event, error: Exception) -> None:
        kind, problem = next(iter(event)), redact(str(error))
        log.warning("MLflow: the %s of %s could not be logged: %s", kind, runs.begin["stage"], problem)
        with suppress(Exception):
            runs.store.set_tag(runs.child, f"titles.missing.{kind}", problem)

    def _stop_at(self, error: Exception) -> None:
        if not self.outage:
            problem = "cannot be used" if isinstance(error, InputError) else "does not answer"
            log.warning("MLflow %s, the stage goes on; all but system metrics is sent later: %s", problem, error)
        self.outage = True
        self.retry_at = time.monotonic() + RETRY_SECONDS
        self.journal.save()
        self._stop_watching()

    def _watch(self, runs: Runs) -> None:
        if self.live and self.monitor is None:
            self.monitor = SystemMetricsMonitor(runs.child, SAMPLING_SECONDS, resume_logging=True)  # type: ignore[no-untyped-call]
            self.monitor.start()

    def _stop_watching(self, last_sample: bool = False) -> None:
        if self.monitor:
            watched, self.monitor = self.monitor, None
            watched.finish()
            # A stage may be over before the first sample is due.
            if last_sample:
                with suppress(Exception):
                    watched.collect_metrics()
                    watched.publish_metrics(watched.aggregate_metrics())
                    watched.mlflow_logger.flush()

    def _end(self, runs: Runs, event: Event) -> None:
        """Ends the run of the stage, and that of the pipeline even where the first is refused."""
        self._stop_watching(last_sample=True)
        client = runs.store.client
        try:
            client.set_terminated(runs.child, event["end"], event["time"])
        finally:
            # Otherwise a later stage is at work, and will end it.
            if self.live or not is_alive(runs.begin["pipeline"]["key"]):
                failed = event["end"] == "FAILED" or "error" in client.get_run(runs.parent).data.tags
                client.set_terminated(runs.parent, "FAILED" if failed else "FINISHED", event["time"])
