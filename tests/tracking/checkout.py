"""What stages leave for the store of a checkout."""

from pathlib import Path
from typing import Any

from titles.mlflow_store.credentials import store_name
from titles.mlflow_store.paths import experiment_name, spool_folder
from titles.tracking.spool import Spool
from titles.tracking.worker import upload_unsent

# No process has this key, so the pipeline is over.
PIPELINE = {"key": "boot-0-1", "name": "repro", "command": "dvc repro", "tags": {"dvc.baseline": "abc"}}
END = {"end": "FINISHED", "time": 2000}


def leave(root: Path, stage: str, *events: dict[str, Any]) -> Spool:
    """The journal of a stage whose recorder has ended before it could send these."""
    begin = {"root": str(root), "stage": stage, "time": 1000, "pipeline": PIPELINE}
    begin |= {"store": store_name(root), "experiment": experiment_name()}
    journal = Spool(spool_folder(root) / str(PIPELINE["key"]) / stage, begin)
    for event in events:
        journal.add(event)
    journal.lock.release()
    return journal


def send(root: Path, stage: str, *events: dict[str, Any]) -> bool:
    """Sends them, and an end, to the store; whether it has all."""
    leave(root, stage, *events, END)
    return upload_unsent(root)
