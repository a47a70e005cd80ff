"""Brings what a stage said into the store, event by event in their order; an outage keeps what is left for later."""

import logging
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlflow.data.meta_dataset import MetaDataset
from mlflow.data.sources import LocalArtifactDatasetSource  # type: ignore[attr-defined]
from mlflow.entities import DatasetInput, InputTag, RunTag
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from titles.errors import InputError
from titles.tracking.journal import Event, Journal
from titles.tracking.location import tracking_uri
from titles.tracking.networks import log_network
from titles.tracking.pipeline import is_alive
from titles.tracking.store import Store, as_key

log = logging.getLogger(__name__)
# It would tell of an outage a second time, and at every sample.
logging.getLogger("mlflow.system_metrics").setLevel(logging.CRITICAL)

CODE = ("src/", "stages/")
SAMPLING_SECONDS, RETRY_SECONDS = 5, 30


def reach(root: Path) -> Store:
    """The store; raises InputError with what to do where it cannot be reached."""
    try:
        return Store(root)
    except Exception as error:  # There are as many kinds as there are stores and drivers.
        raise InputError(
            f"MLflow at {tracking_uri(root)} cannot be reached; start it, set MLFLOW_TRACKING_URI, "
            f"or run without it: TITLES_TRACKING=off ({type(error).__name__}: {error})"
        ) from None


class Delivery:
    """The journal of one stage on its way into the store."""

    def __init__(self, root: Path, journal: Journal, live: bool = True) -> None:
        """`live` while the stage is at work: then the machine is watched."""
        self.root, self.journal, self.live = root, journal, live
        self.monitor: Any = None
        self.outage = False
        self.retry_at = 0.0
        self.child = self.parent = ""

    def attempt(self) -> bool:
        """Delivers what the journal holds, unless the store failed a moment ago; returns whether all is delivered."""
        if time.monotonic() < self.retry_at:
            return False
        over = False
        try:
            self._find_runs()
            while self.journal.pending:
                over = "end" in self.journal.pending[0]
                self._deliver_or_give_up(self.journal.pending[0])
                self.journal.pending.popleft()
        except Exception as error:
            self._stop_at(error)
            return False
        self.outage = False
        if over:
            self.journal.remove()
        else:
            self.journal.save()
            self._watch()
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

    def _find_runs(self) -> None:
        if not self.child:
            self.store = Store(self.root)
            self.parent, self.child = self.store.runs_of(self.journal.begin)
            if self.live:
                self.store.client.update_run(self.parent, "RUNNING")

    def _deliver_or_give_up(self, event: Event) -> None:
        """Raises where the store does not answer; what it refuses, though it does, is said to be missing."""
        try:
            self._deliver(event)
        except Exception:
            if not self.store.answers():
                raise
            # It may have come back just now.
            try:
                self._deliver(event)
            except Exception as error:
                if "end" in event or not self.store.answers():
                    raise
                self._say_missing(event, error)

    def _say_missing(self, event: Event, error: Exception) -> None:
        kind = next(iter(event))
        log.warning("MLflow: the %s of %s could not be logged: %s", kind, self.journal.begin["stage"], error)
        with suppress(Exception):
            self.store.client.set_tag(self.child, f"titles.missing.{kind}", str(error)[:5000])

    def _stop_at(self, error: Exception) -> None:
        if not self.outage:
            log.warning("MLflow does not answer, the stage goes on; all but system metrics is sent later: %s", error)
        self.outage = True
        self.retry_at = time.monotonic() + RETRY_SECONDS
        self.journal.save()
        self._stop_watching()

    def _watch(self) -> None:
        if self.live and self.monitor is None:
            self.monitor = SystemMetricsMonitor(self.child, SAMPLING_SECONDS, resume_logging=True)  # type: ignore[no-untyped-call]
            self.monitor.start()

    def _stop_watching(self) -> None:
        if self.monitor:
            self.monitor.finish()
            self.monitor = None

    def _deliver(self, event: Event) -> None:
        deliver = {
            "params": self._params,
            "metrics": self._metrics,
            "results": self._results,
            "files": self._files,
            "network": self._network,
            "hashes": self._hashes,
            "end": self._end,
        }
        deliver[next(iter(event))](event)

    def _params(self, event: Event) -> None:
        """All to the pipeline's run, to the stage's those of the sections it reads."""
        params = event["params"] if isinstance(event["params"], dict) else {}
        self.store.log_params(self.parent, params)
        self.store.log_params(self.child, {name: params[name] for name in event["sections"] if name in params})

    def _metrics(self, event: Event) -> None:
        self.store.log_metrics(self.child, event["metrics"], event["time"], event["step"])

    def _results(self, event: Event) -> None:
        """To the pipeline's run as well: it is there that one looks for what came out."""
        for run_id in (self.child, self.parent):
            self.store.log_metrics(run_id, event["results"], event["time"], 0)

    def _files(self, event: Event) -> None:
        for folder in map(Path, event["files"]):
            self.store.client.log_artifacts(self.parent, str(folder), folder.name)

    def _network(self, event: Event) -> None:
        tags = self.journal.begin["pipeline"]["tags"] | {"dvc.hash": event["hash"]}
        log_network(event["network"], Path(event["folder"]), tags, self.child)

    def _end(self, event: Event) -> None:
        if self.monitor:
            watched = self.monitor
            self._stop_watching()
            # A stage may be over before the first sample is due.
            watched.collect_metrics()
            watched.publish_metrics(watched.aggregate_metrics())
            watched.mlflow_logger.flush()
        client, error = self.store.client, event.get("error")
        if error:
            client.set_tag(self.child, "error", error)
            client.set_tag(self.parent, "error", f"{self.journal.begin['stage']}: {error}"[:5000])
        client.set_terminated(self.child, event["end"], event["time"])
        if not self.live and is_alive(self.journal.begin["pipeline"]["key"]):
            # A later stage is at work, and will end it.
            return
        failed = error or "error" in client.get_run(self.parent).data.tags
        client.set_terminated(self.parent, "FAILED" if failed else "FINISHED", event["time"])

    def _hashes(self, event: Event) -> None:
        """As tags; those of the data among the dependencies also as data sets, without reading them."""
        hashes = event["hashes"]
        found = [(kind, path, value) for kind, paths in hashes.items() for path, value in paths.items()]
        tags = [RunTag(as_key(f"dvc.{kind}.{path}"), value) for kind, path, value in found]
        data = [(path, value) for path, value in hashes.get("dep", {}).items() if not path.startswith(CODE)]
        if tags:
            self.store.client.log_batch(self.child, tags=tags)
        if data:
            self.store.client.log_inputs(self.child, [self._dataset(path, value) for path, value in data])

    def _dataset(self, path: str, value: str) -> Any:
        dataset = MetaDataset(LocalArtifactDatasetSource(path), name=path, digest=value)  # type: ignore[abstract]
        return DatasetInput(dataset._to_mlflow_entity(), [InputTag("mlflow.data.context", self.journal.begin["stage"])])
