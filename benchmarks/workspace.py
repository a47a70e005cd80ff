"""An invented catalogue of some size, and the stages run on it in a checkout of the last commit."""

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

from benchmarks.contenders import Changes, joined
from benchmarks.cost import Cost, run
from benchmarks.limits import operations, peaks
from benchmarks.report import say
from titles.data.ragged import Ragged
from titles.inference.predict import BATCH_SIZE as PREDICTED_TOGETHER
from titles.mlflow_store.paths import sqlite_uri

CATEGORIES, SEED = 1588, 1
WHOLE: Changes = {"reduce": {"fraction": 1}, "train": {"epochs": 1, "min_steps": 1}}
# Like for like with what fastText does: words alone, in one network of 100 numbers a word.
PLAIN: Changes = {
    "embed": {"dimension": 100, "subword_max_n": 0, "bigrams": 0},
    "model": {"members": 1, "dropout": 0.0, "word_dropout": 0.0},
    "mlp": {"hidden_layers": 1, "hidden_units": 96, "filters": 32},
    "cnn": {"filters": 128, "min_kernel_size": 1, "max_kernel_size": 3},
    "train": {"batch_size": 2048, "drop_suspect_labels": False},
}
SETUPS: dict[str, Changes] = {"defaults": WHOLE, "plain": joined(WHOLE, PLAIN)}

Line = dict[str, Any]
# The parts of a row by name, each of which measures when it is called.
Parts = Iterator[tuple[str, Callable[[], list[Line]]]]

SIZES = {"k": 1_000, "m": 1_000_000}


def catalogue_rows(size: str) -> int:
    """`20m` is 20,000,000."""
    return int(size[:-1]) * SIZES[size[-1]]


def clone(checkout: Path) -> str:
    """Makes a checkout of the last commit, unless it is there; the last commit that changed what is measured."""
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], text=True)
    there = checkout.exists() and subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=checkout, text=True)
    if there != head:
        shutil.rmtree(checkout, ignore_errors=True)
        subprocess.run(["git", "clone", "--quiet", ".", checkout], check=True)
    code = ["git", "log", "-1", "--format=%h", "--", "src", "stages", "params.yaml"]
    return subprocess.check_output(code, text=True).strip()


@dataclass(frozen=True)
class Workspace:
    """A catalogue of that many rows in `folder`, with all that is made of it, and the checkout that makes it."""

    checkout: Path
    folder: Path
    rows: int

    def catalogue(self) -> Path:
        """The raw file, made if it is not there."""
        file = self.folder / "raw" / "train.csv.gz"
        if not file.exists():
            say(f"writing {self.rows:,} rows to {file}")
            part = self.folder / "unfinished.csv.gz"
            sizes = ("--rows", self.rows, "--categories", CATEGORIES, "--seed", SEED)
            self.python({}, "titles.demo", *sizes, part)
            file.parent.mkdir(exist_ok=True)
            part.replace(file)
        return file

    def python(self, changes: Changes, *arguments: object) -> tuple[Cost, str]:
        """What `python -m` costs and prints in the checkout, with changes to its params.yaml."""
        committed = subprocess.check_output(["git", "show", "HEAD:params.yaml"], cwd=self.checkout, text=True)
        params = {name: values | changes.get(name, {}) for name, values in yaml.safe_load(committed).items()}
        (self.checkout / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
        names = ("DVC_ROOT", "TITLES_TRACKING")
        environment = {name: value for name, value in os.environ.items() if name not in names}
        # DVC finds the stages' Python there.
        search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment |= {
            "PATH": search,
            "PYTHONPATH": "src",
            "DVC_NO_ANALYTICS": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            # Checkouts come and go, and curves are compared.
            "MLFLOW_TRACKING_URI": sqlite_uri(self.folder.parent / "mlflow.db"),
        }
        return run([sys.executable, "-m", *map(str, arguments)], self.checkout, environment)

    def paths(self, stage: str, setup: str) -> list[Path]:
        """What the stage takes on its command line; what it writes comes last."""
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
        """Runs a stage from its start: what it cost, and the titles a second by its own account or in all."""
        paths = paths or self.paths(name, setup)
        _mark(paths[-1]).unlink(missing_ok=True)
        shutil.rmtree(paths[-1].parent / ".checkpoints", ignore_errors=True)
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        say(f"{name}, {setup}, {self.rows:,} rows")
        module = ["benchmarks.watched", name] if name.startswith("train") else [f"stages.{name}"]
        before = peaks()
        raw: Changes = {"data": {"raw": str(self.folder / "raw")}}
        cost, printed = self.python(joined(SETUPS[setup], raw, changes or {}), *module, *paths)
        multiplied, copied = (mean(pair) for pair in zip(before, peaks(), strict=True))
        _mark(paths[-1]).touch()
        line = self.line(name, setup, cost, printed)
        used = line["titles_per_second"] * self._operations(name, setup, paths) / 1e9
        limits = {"peak_gflops": multiplied, "copied_gb_per_second": copied}
        limits |= {"share_of_peak": used / multiplied} if used else {}
        return line | {limit: round(value, 4) for limit, value in limits.items()}

    def evaluate_twice(self, setup: str, network: str) -> Line:
        """The network in both places of the stage, with its balanced accuracy."""
        prepared, embedded, *_, results, predicted = self.paths("evaluate", setup)
        model = self.paths(f"train_{network}", setup)[-1]
        line = self.stage("evaluate", setup, paths=[prepared, embedded, model, model, results, predicted])
        metrics = json.loads((results / "metrics.json").read_text(encoding="utf-8"))
        # Of the networks in both places, which are one here.
        line["titles_per_second"] *= 2
        return line | {"balanced_accuracy": metrics["mlp"]["balanced_accuracy"]}

    def _operations(self, name: str, setup: str, paths: list[Path]) -> float:
        """The multiplications and additions the stage must do for a title."""
        if name not in ("train_mlp", "train_cnn", "evaluate"):
            return 0.0
        params = yaml.safe_load((self.checkout / "params.yaml").read_text(encoding="utf-8"))
        batch_size = PREDICTED_TOGETHER if name == "evaluate" else params["train"]["batch_size"]
        batch = Ragged.load(self.folder / setup / "embedded", "test").slice(0, batch_size)
        words = len(np.unique(batch.values)) / len(batch)
        models = paths[2:4] if name == "evaluate" else paths[-1:]
        networks = [json.loads((model / "network.json").read_text(encoding="utf-8")) for model in models]
        forwards = sum(operations(network, words) for network in networks)
        # Backwards it does as much for the inputs, and again for the weights.
        return forwards if name == "evaluate" else 3 * forwards

    def line(self, name: str, setup: str, cost: Cost, printed: str) -> Line:
        """What is known of a run of a stage."""
        titles = self.titles(name, setup)
        # Of epochs the last; evaluate predicts all titles before it predicts some in another way.
        rates = re.findall(r"(?:^epoch|predicted with) .*?([\d,]+) titles/s", printed, re.MULTILINE)
        rate = rates[0 if name == "evaluate" else -1] if rates else str(round(titles / (cost["seconds"] or 1)))
        line = {"setup": setup, "titles": titles, **cost, "titles_per_second": float(rate.replace(",", ""))}
        points = re.findall(r"after ([\d,]+) titles: balanced accuracy about ([\d.]+)", printed)
        if points:
            line["curve"] = [[int(seen.replace(",", "")), float(accuracy)] for seen, accuracy in points]
        for told in re.findall(r"^{.*}$", printed, re.MULTILINE):
            line |= json.loads(told)
        return line

    def titles(self, stage: str, setup: str) -> int:
        """What its throughput is about: all rows, those to train on, or those to test on."""
        if stage in ("prepare", "reduce", "embed"):
            return self.rows
        split = "test" if stage == "evaluate" else "train"
        return len(np.load(self.folder / setup / "embedded" / f"{split}.labels.npy", mmap_mode="r"))

    def need(self, setup: str, *stages: str) -> None:
        """Runs those of the stages that have not come to their end."""
        self.catalogue()
        for stage in stages:
            if not _mark(self.paths(stage, setup)[-1]).exists():
                self.stage(stage, setup)


def _mark(written: Path) -> Path:
    """The file that says the stage that writes this came to its end."""
    return written.with_suffix(".done")
