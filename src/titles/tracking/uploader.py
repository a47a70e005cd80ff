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
from titles.tracking.event_log import Runs, log_event
from titles.tracking.pipeline_run import is_alive
from titles.tracking.spool import Event, Spool

log = logging.getLogger(__name__)
# It would tell of an outage a second time, and at every sample.
logging.getLogger("mlflow.system_metrics").setLevel(logging.CRITICAL)

SAMPLING_SECONDS, RETRY_SECONDS = 5, 30


def connect(root: Path) -> Store:
    """The store; raises InputError with what to do where it cannot be reached."""
    try:
        return Store(root)
    except InputError:
        raise
    except Exception as error:  # There are as many kinds as there are stores and drivers.
        raise InputError(
            f"MLflow at {redact(tracking_uri(root))} cannot be reached; start it, set MLFLOW_TRACKING_URI, "
            f"or run without it: TITLES_TRACKING=off ({type(error).__name__}: {redact(str(error))})"
        ) from None


class Uploader:
    """The journal of one stage on its way into the store."""

    def __init__(self, root: Path, spool: Spool, live: bool = True) -> None:
        """`live` while the stage is at work: then the machine is watched."""
        self.root, self.spool, self.live = root, spool, live
        self.monitor: Any = None
        self.outage = False
        self.retry_at = 0.0
        self.runs: Runs | None = None

    def try_upload(self) -> bool:
        """Delivers what the journal holds, unless the store failed a moment ago; returns whether all is delivered."""
        if time.monotonic() < self.retry_at:
            return False
        over = False
        try:
            runs = self._get_runs()
            while self.spool.pending:
                over = "end" in self.spool.pending[0]
                self._upload_or_skip(runs, self.spool.pending[0])
                self.spool.pending.popleft()
        except Exception as error:
            self._handle_outage(error)
            return False
        self.outage = False
        if over:
            self.spool.remove()
        else:
            self.spool.save()
            self._start_monitor(runs)
        return True

    def finish(self) -> bool:
        """Delivers all at once, and says what remains in the journal; returns whether nothing does."""
        self.retry_at = 0.0
        done = self.try_upload()
        if not done:
            stage = self.spool.begin["stage"]
            log.warning("%d records of %s are not in MLflow yet; make sync sends them", len(self.spool.pending), stage)
        return done

    def _get_runs(self) -> Runs:
        if self.runs is None:
            begin = self.spool.begin
            experiment = (begin["experiment"], begin.get("experiment_id")) if begin.get("experiment") else None
            store = Store(self.root, experiment)
            self.runs = Runs.find_or_create(store, self.spool.begin, self.spool.folder)
            if self.live:
                store.client.update_run(self.runs.parent, "RUNNING")
        return self.runs

    def _upload_or_skip(self, runs: Runs, event: Event) -> None:
        """Raises where the store takes nothing; what it alone refuses is said to be missing."""
        for is_last in (False, True):
            try:
                self._end_runs(runs, event) if "end" in event else log_event(runs, event)
                return
            except Exception as error:
                if not runs.store.is_writable():
                    raise
                # The store may have come back just now, so it is asked twice.
                if is_last:
                    self._tag_missing(runs, event, error)

    def _tag_missing(self, runs: Runs, event: Event, error: Exception) -> None:
        kind, problem = next(iter(event)), redact(str(error))
        log.warning("MLflow: the %s of %s could not be logged: %s", kind, runs.begin["stage"], problem)
        with suppress(Exception):
            runs.store.set_tag(runs.child, f"titles.missing.{kind}", problem)

    def _handle_outage(self, error: Exception) -> None:
        if not self.outage:
            problem = "cannot be used" if isinstance(error, InputError) else "does not answer"
            log.warning("MLflow %s, the stage goes on; all but system metrics is sent later: %s", problem, error)
        self.outage = True
        self.retry_at = time.monotonic() + RETRY_SECONDS
        self.spool.save()
        self._stop_monitor()

    def _start_monitor(self, runs: Runs) -> None:
        if self.live and self.monitor is None:
            self.monitor = SystemMetricsMonitor(runs.child, SAMPLING_SECONDS, resume_logging=True)  # type: ignore[no-untyped-call]
            self.monitor.start()

    def _stop_monitor(self, last_sample: bool = False) -> None:
        if self.monitor:
            watched, self.monitor = self.monitor, None
            watched.finish()
            # A stage may be over before the first sample is due.
            if last_sample:
                with suppress(Exception):
                    watched.collect_metrics()
                    watched.publish_metrics(watched.aggregate_metrics())
                    watched.mlflow_logger.flush()

    def _end_runs(self, runs: Runs, event: Event) -> None:
        """Ends the run of the stage, and that of the pipeline even where the first is refused."""
        self._stop_monitor(last_sample=True)
        client = runs.store.client
        try:
            client.set_terminated(runs.child, event["end"], event["time"])
        finally:
            # Otherwise a later stage is at work, and will end it.
            if self.live or not is_alive(runs.begin["pipeline"]["key"]):
                failed = event["end"] == "FAILED" or "error" in client.get_run(runs.parent).data.tags
                client.set_terminated(runs.parent, "FAILED" if failed else "FINISHED", event["time"])
