"""Runs of a store as trees: the run of a pipeline with the nested runs of its stages."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.repository import Repository
from titles.mlflow_store.values import flatten


@dataclass(frozen=True)
class Tree:
    parent: Run
    children: dict[str, Run]

    @property
    def statuses(self) -> dict[str, str]:
        runs = {"pipeline": self.parent} | self.children
        return {name: run.info.status for name, run in runs.items()}


def trees(store: str, name: str = "titles") -> list[Tree]:
    """Return the trees of the experiment of that name, the newest first."""
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name(name)
    runs: list[Any] = list(client.search_runs([experiment.experiment_id])) if experiment else []
    pipelines = []
    for parent in (run for run in runs if "mlflow.parentRunId" not in run.data.tags):
        nested = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
        children = {run.info.run_name: run for run in reversed(nested)}
        assert len(children) == len(nested)
        pipelines.append(Tree(parent, children))
    return pipelines


def check_tree(repository: Repository, tree: Tree, stages: list[str]) -> None:
    """Assert that the tree is that of the last run in the workspace, in which DVC ran `stages`."""
    assert tree.statuses == dict.fromkeys(["pipeline", *stages], "FINISHED")
    params = yaml.safe_load((repository.folder / "params.yaml").read_text())
    assert tree.parent.data.params == {key: str(value) for key, value in flatten(params)}
    metrics = dict(flatten(repository.metrics()))
    assert tree.parent.data.metrics == metrics
    assert metrics.items() <= tree.children["evaluate"].data.metrics.items()
    for stage, run in tree.children.items():
        check_stage(repository, stage, run)


def check_stage(repository: Repository, stage: str, run: Run) -> None:
    """Assert that the run has the parameters and the cost of the stage, and the hashes of dvc.lock."""
    lock: Any = repository.lock()["stages"]
    read = lock[stage].get("params", {}).get("params.yaml", {})
    assert run.data.params == {key: str(value) for key, value in flatten(read)}
    hashes = {f"dvc.dep.{dep['path']}": dep["md5"] for dep in lock[stage]["deps"]}
    hashes |= {f"dvc.out.{out['path']}": out["md5"] for out in lock[stage]["outs"]}
    logged = {tag: value for tag, value in run.data.tags.items() if tag.startswith(("dvc.dep.", "dvc.out."))}
    assert logged == hashes
    data = {dep["path"]: dep["md5"] for dep in lock[stage]["deps"] if not dep["path"].startswith(("src/", "stages/"))}
    assert {given.dataset.name: given.dataset.digest for given in run.inputs.dataset_inputs} == data
    assert {"rows_in", "seconds", "peak_memory_mb"} <= run.data.metrics.keys()


CHAMPION = """
import json, sys, mlflow, pandas
store, *titles = sys.argv[1:]
mlflow.set_tracking_uri(store)
model = mlflow.pyfunc.load_model("models:/titles@champion")
predictions = model.predict(pandas.DataFrame({"title": titles}), params={"top": 2})
print(json.dumps(predictions.to_dict("list")))
"""


def with_null(table: pd.DataFrame) -> dict[str, list[object]]:
    """Return the columns with None for missing values, as in JSON."""
    return table.astype(object).where(table.notna(), None).to_dict("list")


def predicted_by_champion(store: str, titles: list[str], folder: Path) -> dict[str, list[object]]:
    """Predict with the champion in a process without the project and without unpickling."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
    command = [sys.executable, "-c", CHAMPION, store, *titles]
    printed = subprocess.check_output(command, cwd=folder, env=environment, text=True)
    predicted: dict[str, list[object]] = json.loads(printed.splitlines()[-1])
    return predicted
