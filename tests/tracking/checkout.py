"""Spools as stages write them, and their upload to the store of a checkout."""

from pathlib import Path
from typing import Any

from titles.mlflow_store.credentials import store_name
from titles.mlflow_store.paths import experiment_name, spool_folder
from titles.tracking.spool import Spool
from titles.tracking.worker import upload_unsent

# No process has this key, so the pipeline counts as ended.
PIPELINE = {"key": "boot-0-1", "name": "repro", "command": "dvc repro", "tags": {"dvc.baseline": "abc"}}
END = {"end": "FINISHED", "time": 2000}


def leave(root: Path, stage: str, *events: dict[str, Any]) -> Spool:
    """Write the spool of a stage whose worker ended before it could upload these events."""
    begin = {"root": str(root), "stage": stage, "time": 1000, "pipeline": PIPELINE}
    begin |= {"store": store_name(root), "experiment": experiment_name()}
    spool = Spool(spool_folder(root) / str(PIPELINE["key"]) / stage, begin)
    for event in events:
        spool.add(event)
    spool.lock.release()
    return spool


def send(root: Path, stage: str, *events: dict[str, Any]) -> bool:
    """Upload these events and an end to the store; return whether all were uploaded."""
    leave(root, stage, *events, END)
    return upload_unsent(root)
