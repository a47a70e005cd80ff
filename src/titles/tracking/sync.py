"""Add to MLflow what it lacks: `python -m titles.tracking.sync`, or `make sync`. A second call adds nothing.

First send the spools that stages could not send. Then log a run with parameters, metrics and report for each DVC
experiment without one: a stage that DVC restores from its cache logs nothing.
"""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import dvc.api
from dvc.exceptions import DvcException

from titles.core.errors import InputError
from titles.mlflow_store.credentials import redact_logs
from titles.mlflow_store.dvc_lineage import CODE_FOLDERS
from titles.mlflow_store.notes import params_note
from titles.mlflow_store.paths import main_root
from titles.mlflow_store.store import Store
from titles.mlflow_store.values import NOTE_TAG, as_text, flatten
from titles.tracking.event_log import log_datasets
from titles.tracking.pipeline_run import user_name
from titles.tracking.uploader import connect
from titles.tracking.worker import upload_unsent

log = logging.getLogger(__name__)

REPORT = "report.html"
NOTE = "DVC had all stages of this experiment in its cache, or it ran without MLflow."


@dataclass(frozen=True)
class Experiment:
    """A DVC experiment.

    time             of its commit, in milliseconds since the epoch
    params, metrics  nested mappings
    raw              DVC's hashes of the raw data by path
    """

    name: str
    baseline: str
    commit: str
    time: int
    params: dict[str, Any]
    metrics: dict[str, Any]
    raw: dict[str, str]


def experiments() -> Iterator[Experiment]:
    """Yield all finished experiments of the repository that have metrics.

    Read the JSON of the command line: `dvc.api.exp_show` would turn 1 into 1.0, and null into "None".
    """
    command = [sys.executable, "-m", "dvc", "exp", "show", "--json", "--all-commits"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"dvc exp show failed: {done.stderr.strip()}; run from the root of the repository")
    for baseline in json.loads(done.stdout):
        for experiment in baseline["experiments"] or ():
            # The first revision is the last commit. A failed experiment has no data; a running one has its baseline's.
            (revision, *_), name = experiment["revs"], experiment["name"]
            data = revision.get("data") or {}
            metrics = _merge_files(data.get("metrics"))
            if metrics and (experiment.get("executor") or {}).get("state") in (None, "success"):
                time = int(datetime.fromisoformat(data["timestamp"]).timestamp() * 1000)
                params, raw = _merge_files(data.get("params")), _raw_hashes(data)
                yield Experiment(name, baseline["rev"], revision["rev"], time, params, metrics, raw)


def _raw_hashes(data: dict[str, Any]) -> dict[str, str]:
    """Return the hashes of the files that stages read and no stage writes, without code."""
    read, written = data.get("deps") or {}, data.get("outs") or {}
    return {
        path: str(dep["hash"])
        for path, dep in read.items()
        if path not in written and not path.startswith(CODE_FOLDERS) and dep.get("hash")
    }


def _merge_files(files: dict[str, Any] | None) -> dict[str, Any]:
    """Merge the content of all parameter files, or all metrics files, that DVC could read."""
    return {key: value for file in (files or {}).values() for key, value in (file.get("data") or {}).items()}


def add_run(store: Store, experiment: Experiment) -> None:
    """Log the run of an experiment, or complete the run of an earlier call that was interrupted."""
    key = {"titles.pipeline": f"{experiment.baseline}/{experiment.name}/{experiment.commit}"}
    tags = {
        "dvc.experiment": experiment.name,
        "dvc.baseline": experiment.baseline,
        "mlflow.source.git.commit": experiment.commit,
        "mlflow.source.name": "dvc.yaml",
        "mlflow.source.type": "LOCAL",
        "mlflow.user": user_name(),
        "titles.source": "dvc cache",
        NOTE_TAG: NOTE + params_note(experiment.baseline, experiment.params),
    }
    run_id = store.find_or_create(experiment.name, key, tags, experiment.time)
    store.log_params(run_id, experiment.params)
    log_datasets(store, run_id, experiment.raw, "raw")
    if report := read_report(experiment):
        store.client.log_text(run_id, report, f"report/{REPORT}")
    store.log_metrics(run_id, experiment.metrics, experiment.time, 0)
    store.client.set_terminated(run_id, "FINISHED", experiment.time)


def read_report(experiment: Experiment) -> str | None:
    """Return the HTML report, or None if the experiment has none or DVC's cache no longer has it."""
    try:
        return str(dvc.api.read(f"results/{REPORT}", rev=experiment.commit, encoding="utf-8"))
    except DvcException:
        return None


def has_run(store: Store, experiment: Experiment) -> bool:
    """Whether a run of that name and baseline has all parameters and metrics of the experiment."""
    params = {key: as_text(value) for key, value in flatten(experiment.params)}
    metrics = dict(flatten(experiment.metrics))
    return any(
        "titles.pipeline" in run.data.tags and run.data.params == params and metrics.items() <= run.data.metrics.items()
        for run in store.search_runs({"dvc.experiment": experiment.name, "dvc.baseline": experiment.baseline})
    )


def main() -> None:
    """Run the command line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    redact_logs()
    try:
        root = main_root()
        store = connect(root)
        complete = upload_unsent(root)
        missing = [experiment for experiment in experiments() if not has_run(store, experiment)]
    except InputError as error:
        sys.exit(str(error))
    added = []
    for experiment in missing:
        try:
            add_run(store, experiment)
            added.append(experiment.name)
        except Exception as error:  # The store may still accept the other experiments.
            log.warning("%s could not be added: %s", experiment.name, error)
    print(f"{len(added)} of DVC's experiments were not in MLflow and were added", *added, sep=" · ")
    if not complete or len(added) < len(missing):
        sys.exit(1)


if __name__ == "__main__":
    main()
