"""Log the events of a stage to its MLflow run and to the parent run of the pipeline, one function for each kind."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlflow.data.meta_dataset import MetaDataset
from mlflow.data.sources import LocalArtifactDatasetSource  # type: ignore[attr-defined]
from mlflow.entities import DatasetInput, InputTag, RunTag

from titles.mlflow_store.credentials import redact
from titles.mlflow_store.dvc_lineage import CODE_FOLDERS
from titles.mlflow_store.logged_model import log_model
from titles.mlflow_store.outage import check_artifact_store
from titles.mlflow_store.store import Store
from titles.mlflow_store.values import NOTE_TAG, as_key, as_text
from titles.tracking.spool import Event


@dataclass(frozen=True)
class Runs:
    """The MLflow runs that the events of one stage go to.

    begin   first event of the stage
    folder  of the spool, with the files to log
    parent  id of the run of the pipeline
    child   id of the run of the stage
    """

    store: Store
    begin: Event
    folder: Path
    parent: str
    child: str

    @classmethod
    def find_or_create(cls, store: Store, begin: Event, folder: Path) -> "Runs":
        """Return the runs that `begin` describes, and create those that do not exist yet."""
        return cls(store, begin, folder, *store.find_or_create_stage_run(begin))


def log_event(runs: Runs, event: Event) -> None:
    """Log one event. Raise the errors of the store, and KeyError for an event of an undefined kind."""
    EVENT_LOGGERS[next(iter(event))](runs, event)


def _log_params(runs: Runs, event: Event) -> None:
    """Log all parameters to the parent run, and the sections that the stage reads to its own run."""
    params = event["params"] if isinstance(event["params"], dict) else {}
    runs.store.log_params(runs.parent, params)
    runs.store.log_params(runs.child, {name: params[name] for name in event["sections"] if name in params})


def _log_notes(runs: Runs, event: Event) -> None:
    """Set the notes of both runs. Leave an existing note as it is, as a user may have written it."""
    for run_id, note in ((runs.parent, event["notes"]["pipeline"]), (runs.child, event["notes"]["stage"])):
        if note and NOTE_TAG not in runs.store.client.get_run(run_id).data.tags:
            runs.store.set_tag(run_id, NOTE_TAG, note)


def _log_metrics(runs: Runs, event: Event) -> None:
    runs.store.log_metrics(runs.child, event["metrics"], event["time"], event["step"])


def _log_results(runs: Runs, event: Event) -> None:
    """Log the results to the run of the stage and to the parent run, where users look for them."""
    for run_id in (runs.child, runs.parent):
        runs.store.log_metrics(run_id, event["results"], event["time"], 0)


def _log_files(runs: Runs, event: Event) -> None:
    for name in event["files"]:
        folder = runs.folder / name
        runs.store.client.log_artifacts(runs.parent, str(folder), folder.name)


def _log_model(runs: Runs, event: Event) -> None:
    # An upload that fails leaves a model with the status FAILED, one at each attempt.
    check_artifact_store(runs.store.client, runs.child)
    tags = runs.begin["pipeline"]["tags"] | {"dvc.hash": event["hash"]}
    log_model(event["network"], runs.folder / event["folder"], tags, runs.child)


def _log_hashes(runs: Runs, event: Event) -> None:
    """Log DVC's hashes as tags, and those of data files as data sets too.

    The data sets of the parent run are the raw data, which no stage writes.
    """
    dependencies, outputs, raw = (event["hashes"].get(kind, {}) for kind in ("dep", "out", "raw"))
    tags = [RunTag(as_key(f"dvc.dep.{path}"), value) for path, value in dependencies.items()]
    tags += [RunTag(as_key(f"dvc.out.{path}"), value) for path, value in outputs.items()]
    if tags:
        runs.store.client.log_batch(runs.child, tags=tags)
    data = {path: value for path, value in dependencies.items() if not path.startswith(CODE_FOLDERS)}
    log_datasets(runs.store, runs.child, data, runs.begin["stage"])
    log_datasets(runs.store, runs.parent, raw, "raw")


def log_datasets(store: Store, run_id: str, hashes: Mapping[str, str], context: str) -> None:
    """Log paths with DVC's hashes as data sets, without reading the files."""
    datasets = [
        MetaDataset(LocalArtifactDatasetSource(path), name=path, digest=value)  # type: ignore[abstract]
        for path, value in hashes.items()
    ]
    tags = [InputTag("mlflow.data.context", context)]
    if datasets:
        store.client.log_inputs(run_id, [DatasetInput(dataset._to_mlflow_entity(), tags) for dataset in datasets])


def _log_error(runs: Runs, event: Event) -> None:
    error = redact(as_text(event["error"]))
    runs.store.set_tag(runs.child, "error", error)
    runs.store.set_tag(runs.parent, "error", f"{runs.begin['stage']}: {error}")


EVENT_LOGGERS: dict[str, Callable[[Runs, Event], None]] = {
    "params": _log_params,
    "notes": _log_notes,
    "metrics": _log_metrics,
    "results": _log_results,
    "files": _log_files,
    "network": _log_model,
    "hashes": _log_hashes,
    "error": _log_error,
}
