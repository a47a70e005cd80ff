"""Upload the events of a spool to the store in their order. During an outage they stay in the spool."""

import logging
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from titles.core.errors import InputError
from titles.mlflow_store.credentials import redact
from titles.mlflow_store.outage import is_outage
from titles.mlflow_store.paths import tracking_uri
from titles.mlflow_store.store import Store
from titles.tracking.event_log import Runs, log_event
from titles.tracking.pipeline_run import is_alive
from titles.tracking.spool import Event, Spool

log = logging.getLogger(__name__)
# It would report an outage again at every sample.
logging.getLogger("mlflow.system_metrics").setLevel(logging.CRITICAL)

SAMPLING_SECONDS, RETRY_SECONDS = 5, 30


def connect(root: Path) -> Store:
    """Return the store. If it cannot be reached, raise InputError with what to do."""
    try:
        return Store(root)
    except InputError:
        raise
    except Exception as error:  # Every store and driver raises errors of its own.
        raise InputError(
            f"MLflow at {redact(tracking_uri(root))} cannot be reached; start it, set MLFLOW_TRACKING_URI, "
            f"or run without it: TITLES_TRACKING=off ({type(error).__name__}: {redact(str(error))})"
        ) from None


class Uploader:
    """Uploads the spool of one stage, and monitors the machine while the stage runs."""

    def __init__(self, root: Path, spool: Spool, live: bool = True) -> None:
        """Upload nothing yet. `live`: the stage is running, so log system metrics too."""
        self.root, self.spool, self.live = root, spool, live
        self.monitor: Any = None
        self.outage = False
        self.retry_at = 0.0
        self.runs: Runs | None = None

    def try_upload(self) -> bool:
        """Send the pending events, unless the store failed a moment ago; return whether none is left."""
        if time.monotonic() < self.retry_at:
            return False
        try:
            runs = self._get_runs()
            is_ended = self._upload_pending(runs)
        except Exception as error:
            self._handle_outage(error)
            return False
        if is_ended and not self.spool.pending:
            self.spool.remove()
            return True
        self.spool.save()
        self._start_monitor(runs)
        self.outage = bool(self.spool.pending)
        if self.outage:
            self.retry_at = time.monotonic() + RETRY_SECONDS
        return not self.outage

    def _upload_pending(self, runs: Runs) -> bool:
        """Send the pending events in their order; return whether the stage has ended.

        Files and models stay pending while the artifact store cannot be reached. The end of the stage is sent, and
        stays pending after them: a spool without an end is that of a stage that was killed.
        """
        pending, is_ended = self.spool.pending, False
        postponed: list[Event] = []
        try:
            while pending:
                is_ended = "end" in pending[0]
                if not self._upload_or_skip(runs, pending[0]) or (is_ended and postponed):
                    postponed.append(pending[0])
                pending.popleft()
        finally:
            pending.extendleft(reversed(postponed))
        return is_ended

    def finish(self) -> bool:
        """Send the pending events now, and warn if any are left; return whether none is."""
        self.retry_at = 0.0
        is_complete = self.try_upload()
        if not is_complete:
            stage = self.spool.begin["stage"]
            log.warning("%d events of %s are not in MLflow yet; make sync sends them", len(self.spool.pending), stage)
        return is_complete

    def _get_runs(self) -> Runs:
        if self.runs is None:
            begin = self.spool.begin
            experiment = (begin["experiment"], begin.get("experiment_id")) if begin.get("experiment") else None
            store = Store(self.root, experiment)
            self.runs = Runs.find_or_create(store, self.spool.begin, self.spool.folder)
            if self.live:
                store.client.update_run(self.runs.parent, "RUNNING")
        return self.runs

    def _upload_or_skip(self, runs: Runs, event: Event) -> bool:
        """Send an event; return False if the artifact store cannot be reached.

        Skip an event that the store refuses, and name it in a tag. Raise the error if the store takes nothing at all.
        """
        for is_last in (False, True):
            try:
                self._end_runs(runs, event) if "end" in event else log_event(runs, event)
                return True
            except Exception as error:
                if not runs.store.is_writable():
                    raise
                if is_outage(error):
                    self._warn("MLflow's artifact store does not answer", f"the {next(iter(event))}", error)
                    return False
                # Try twice, as the store may have come back in the meantime.
                if is_last:
                    self._tag_missing(runs, event, error)
        return True

    def _tag_missing(self, runs: Runs, event: Event, error: Exception) -> None:
        kind, problem = next(iter(event)), redact(str(error))
        log.warning("MLflow: the %s of %s could not be logged: %s", kind, runs.begin["stage"], problem)
        with suppress(Exception):
            runs.store.set_tag(runs.child, f"titles.missing.{kind}", problem)

    def _handle_outage(self, error: Exception) -> None:
        problem = "cannot be used" if isinstance(error, InputError) else "does not answer"
        self._warn(f"MLflow {problem}", "all but system metrics", error)
        self.retry_at = time.monotonic() + RETRY_SECONDS
        self.spool.save()
        self._stop_monitor()

    def _warn(self, problem: str, postponed: str, error: Exception) -> None:
        """Log an outage once."""
        if not self.outage:
            log.warning("%s, the stage continues; %s will be sent later: %s", problem, postponed, error)
        self.outage = True

    def _start_monitor(self, runs: Runs) -> None:
        if self.live and self.monitor is None:
            self.monitor = SystemMetricsMonitor(runs.child, SAMPLING_SECONDS, resume_logging=True)  # type: ignore[no-untyped-call]
            self.monitor.start()

    def _stop_monitor(self, last_sample: bool = False) -> None:
        if self.monitor:
            monitor, self.monitor = self.monitor, None
            monitor.finish()
            # A stage may end before the first sample is due.
            if last_sample:
                with suppress(Exception):
                    monitor.collect_metrics()
                    monitor.publish_metrics(monitor.aggregate_metrics())
                    monitor.mlflow_logger.flush()

    def _end_runs(self, runs: Runs, event: Event) -> None:
        """End the run of the stage, and the run of the pipeline even if the store refuses the first."""
        self._stop_monitor(last_sample=True)
        client = runs.store.client
        try:
            client.set_terminated(runs.child, event["end"], event["time"])
        finally:
            # Otherwise a later stage is running and will end it.
            if self.live or not is_alive(runs.begin["pipeline"]["key"]):
                failed = event["end"] == "FAILED" or "error" in client.get_run(runs.parent).data.tags
                client.set_terminated(runs.parent, "FAILED" if failed else "FINISHED", event["time"])
