"""Run stages on an invented catalogue of a given size, in a checkout of the last commit."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import yaml

from benchmarks.contenders import Changes, merge_changes
from benchmarks.cost import Cost, run
from benchmarks.limits import operations, peaks
from benchmarks.report import log_progress
from titles.data.ragged import Ragged
from titles.inference.predict import BATCH_SIZE as PREDICTION_BATCH_SIZE
from titles.mlflow_store.paths import sqlite_uri

CATEGORIES, SEED = 1588, 1
ONE_EPOCH: Changes = {"reduce": {"fraction": 1}, "train": {"epochs": 1, "min_steps": 1}}
# Comparable with fastText: words without subwords and bigrams, a single network, word vectors of dimension 100.
PLAIN: Changes = {
    "embed": {"dimension": 100, "subword_max_n": 0, "bigrams": 0},
    "model": {"ensemble_size": 1, "dropout": 0.0, "word_dropout": 0.0},
    "mlp": {"hidden_layers": 1, "hidden_units": 96, "filters": 32},
    "cnn": {"filters": 128, "min_kernel_size": 1, "max_kernel_size": 3},
    "train": {"batch_size": 2048, "drop_suspect_labels": False},
}
SETUPS: dict[str, Changes] = {"defaults": ONE_EPOCH, "plain": merge_changes(ONE_EPOCH, PLAIN)}

Line = dict[str, Any]
# Pairs of the name of a measurement and the function that runs it.
Measurements = Iterator[tuple[str, Callable[[], list[Line]]]]

SIZES = {"k": 1_000, "m": 1_000_000}


def catalogue_rows(size: str) -> int:
    """Return the number of rows of a size such as `20m`, which is 20,000,000."""
    return int(size[:-1]) * SIZES[size[-1]]


def clone(checkout: Path) -> str:
    """Make a checkout of the last commit, unless it exists; return the last commit that changed the measured code."""
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], text=True)
    existing = checkout.exists() and subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=checkout, text=True)
    if existing != head:
        shutil.rmtree(checkout, ignore_errors=True)
        subprocess.run(["git", "clone", "--quiet", ".", checkout], check=True)
    code = ["git", "log", "-1", "--format=%h", "--", "src", "stages", "params.yaml"]
    return subprocess.check_output(code, text=True).strip()


@dataclass(frozen=True)
class Workspace:
    """A catalogue of `rows` rows and all outputs in `folder`, and the checkout that the stages run in."""

    checkout: Path
    folder: Path
    rows: int

    def catalogue(self) -> Path:
        """Return the raw file; write it if it does not exist."""
        file = self.folder / "raw" / "train.csv.gz"
        if not file.exists():
            log_progress(f"writing {self.rows:,} rows to {file}")
            unfinished = self.folder / "unfinished.csv.gz"
            sizes = ("--rows", self.rows, "--categories", CATEGORIES, "--seed", SEED)
            self.python({}, "titles.demo", *sizes, unfinished)
            file.parent.mkdir(exist_ok=True)
            unfinished.replace(file)
        return file

    def python(self, changes: Changes, *arguments: object) -> tuple[Cost, str]:
        """Run `python -m` in the checkout with changes to its params.yaml; return the cost and the output."""
        committed = subprocess.check_output(["git", "show", "HEAD:params.yaml"], cwd=self.checkout, text=True)
        params = {name: values | changes.get(name, {}) for name, values in yaml.safe_load(committed).items()}
        (self.checkout / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
        names = ("DVC_ROOT", "TITLES_TRACKING")
        environment = {name: value for name, value in os.environ.items() if name not in names}
        # DVC runs the stages with the first `python` on the path.
        search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment |= {
            "PATH": search,
            "PYTHONPATH": "src",
            "DVC_NO_ANALYTICS": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            # Outside of the checkouts, which are replaced: MLflow compares the curves of several.
            "MLFLOW_TRACKING_URI": sqlite_uri(self.folder.parent / "mlflow.db"),
        }
        return run([sys.executable, "-m", *map(str, arguments)], self.checkout, environment)

    def paths(self, stage: str, setup: str) -> list[Path]:
        """Return the command-line arguments of a stage; its output comes last."""
        own = self.folder / setup
        prepared, reduced, embedded, vectors = (
            *(self.folder / name for name in ("prepared", "reduced")),
            *(own / name for name in ("embedded", "vectors.npy")),
        )
        mlp, cnn = (own / "models" / network for network in ("mlp", "cnn"))
        return {
            "prepare": [prepared],
            "reduce": [prepared, reduced],
            "embed": [prepared, reduced, self.folder / "word_vectors", embedded, vectors],
            "train_mlp": [embedded, vectors, mlp],
            "train_cnn": [embedded, vectors, cnn],
            "evaluate": [prepared, embedded, mlp, cnn, own / "results", own / "predicted"],
        }[stage]

    def stage(self, name: str, setup: str, changes: Changes | None = None, paths: list[Path] | None = None) -> Line:
        """Run a stage from its start; return its cost and titles a second, as it logs them or over its total time."""
        paths = paths or self.paths(name, setup)
        _done_file(paths[-1]).unlink(missing_ok=True)
        shutil.rmtree(paths[-1].parent / ".checkpoints", ignore_errors=True)
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        log_progress(f"{name}, {setup}, {self.rows:,} rows")
        module = ["benchmarks.watched", name] if name.startswith("train") else [f"stages.{name}"]
        before = peaks()
        raw: Changes = {"data": {"raw": str(self.folder / "raw")}}
        cost, output = self.python(merge_changes(SETUPS[setup], raw, changes or {}), *module, *paths)
        multiplied, copied = (mean(pair) for pair in zip(before, peaks(), strict=True))
        _done_file(paths[-1]).touch()
        line = self.line(name, setup, cost, output)
        gflops = line["titles_per_second"] * self._operations(name, setup, paths) / 1e9
        limits = {"peak_gflops": multiplied, "copied_gb_per_second": copied}
        limits |= {"share_of_peak": gflops / multiplied} if gflops else {}
        return line | {limit: round(value, 4) for limit, value in limits.items()}

    def evaluate_twice(self, setup: str, network: str) -> Line:
        """Evaluate one network in place of both; return the line of the stage with its balanced accuracy."""
        prepared, embedded, *_, results, predicted = self.paths("evaluate", setup)
        model = self.paths(f"train_{network}", setup)[-1]
        line = self.stage("evaluate", setup, paths=[prepared, embedded, model, model, results, predicted])
        metrics = json.loads((results / "metrics.json").read_text(encoding="utf-8"))
        # The stage counts each title once, although it predicts it twice here.
        line["titles_per_second"] *= 2
        return line | {"balanced_accuracy": metrics["mlp"]["balanced_accuracy"]}

    def _operations(self, name: str, setup: str, paths: list[Path]) -> float:
        """Return the multiplications and additions of a stage per title."""
        if name not in ("train_mlp", "train_cnn", "evaluate"):
            return 0.0
        params = yaml.safe_load((self.checkout / "params.yaml").read_text(encoding="utf-8"))
        batch_size = PREDICTION_BATCH_SIZE if name == "evaluate" else params["train"]["batch_size"]
        batch = Ragged.load(self.folder / setup / "embedded", "test").slice(0, batch_size)
        words = len(np.unique(batch.values)) / len(batch)
        models = paths[2:4] if name == "evaluate" else paths[-1:]
        networks = [json.loads((model / "network.json").read_text(encoding="utf-8")) for model in models]
        forward = sum(operations(network, words) for network in networks)
        # The backward pass costs as much for the gradients of the inputs, and again for those of the weights.
        return forward if name == "evaluate" else 3 * forward

    def line(self, name: str, setup: str, cost: Cost, output: str) -> Line:
        """Return the cost of a run of a stage, with the figures in its output."""
        titles = self.titles(name, setup)
        # The last epoch; for evaluate the first figure, as later ones are about a subset of the titles.
        rates = re.findall(r"(?:^epoch|predicted with) .*?([\d,]+) titles/s", output, re.MULTILINE)
        rate = rates[0 if name == "evaluate" else -1] if rates else str(round(titles / (cost["seconds"] or 1)))
        line = {"setup": setup, "titles": titles, **cost, "titles_per_second": float(rate.replace(",", ""))}
        points = re.findall(r"after ([\d,]+) titles: balanced accuracy about ([\d.]+)", output)
        if points:
            line["curve"] = [[int(titles_seen.replace(",", "")), float(accuracy)] for titles_seen, accuracy in points]
        for record in re.findall(r"^{.*}$", output, re.MULTILINE):
            line |= json.loads(record)
        return line

    def titles(self, stage: str, setup: str) -> int:
        """Return the number of titles that a stage processes: all rows, the training titles or the test titles."""
        if stage in ("prepare", "reduce", "embed"):
            return self.rows
        split = "test" if stage == "evaluate" else "train"
        return len(np.load(self.folder / setup / "embedded" / f"{split}.labels.npy", mmap_mode="r"))

    def require(self, setup: str, *stages: str) -> None:
        """Run those of the stages that have not finished yet."""
        self.catalogue()
        for stage in stages:
            if not _done_file(self.paths(stage, setup)[-1]).exists():
                self.stage(stage, setup)


def _done_file(output: Path) -> Path:
    """Return the file that marks the stage with this output as finished."""
    return output.with_suffix(".done")
