"""Fit and evaluate models on a data folder, each in a process of its own."""

import platform
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.contenders import NETWORKS, PARAMS, PEERS, Settings, fit_network, load
from benchmarks.report import log_progress
from titles.core.config import load_params
from titles.core.cpus import available_cpus
from titles.metrics.classification import balanced_accuracy


def prepare(raw: Path, work: Path, fraction: float) -> None:
    """Run the stages prepare and reduce, to work/prepared and work/reduced."""
    from titles.preprocessing import prepare, subsample
    from titles.preprocessing.dedup_split import PrepareParams
    from titles.preprocessing.subsample import ReduceParams

    params: Settings = load_params(PARAMS, {"prepare": PrepareParams, "reduce": ReduceParams})
    prepare.prepare(raw, work / "prepared", params["prepare"])
    subsample.reduce(work / "prepared", work / "reduced", replace(params["reduce"], fraction=fraction))


def read(work: Path, *splits: str) -> pd.DataFrame:
    """Read the titles of the splits; those of train come from work/reduced."""
    files = [work / ("reduced" if split == "train" else "prepared") / f"{split}.parquet" for split in splits]
    rows = pd.concat([pd.read_parquet(file, columns=["title", "cleaned", "category"]) for file in files])
    return rows.fillna({"title": ""})


def training_splits(share: float) -> list[str]:
    """Return the splits that peers are fitted on: without validation if train is reduced, as validation is not."""
    return ["train", "validation"] if share == 1 else ["train"]


def environment() -> str:
    """Describe the machine, the versions of Python and of the libraries used for fitting, and the commit."""
    processor = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    packages = ", ".join(f"{package} {_version(package)}" for package in ("fasttext", "scikit-learn", "torch"))
    hardware = f"{(processor or [platform.machine()])[0]}, {available_cpus()} cores"
    return f"{hardware}; Python {platform.python_version()}, {packages}; commit {commit()}"


def commit() -> str:
    """Return the commit, marked if the measured files have changed since."""
    head = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], text=True).strip()
    status = ["git", "status", "--porcelain", "--", "src", "benchmarks", "params.yaml", "data/demo"]
    return head + ("+changes" if subprocess.check_output(status) else "")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed, not measured"


def describe_run(work: Path) -> str:
    """Describe the environment and the titles of `work`."""
    rows = {split: read(work, split) for split in ("train", "validation", "test")}
    counts = ", ".join(f"{len(titles):,} {split}" for split, titles in rows.items())
    return f"{environment()}\n{counts} titles; {rows['train'].category.nunique():,} categories\n"


def format_settings(settings: Settings) -> str:
    """Format the settings in one line."""
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def run_in_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a new process, so that only its own time and memory are measured."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def fit(name: str, work: Path, models: Path, settings: Settings, splits: Sequence[str]) -> dict[str, float]:
    """Fit a model and save it to its folder in `models`; return the cost, imports included.

    Peers are fitted on the rows of all `splits`; networks use train and validation as the pipeline does.
    """
    folder = models / name
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    if name in PEERS:
        PEERS[name].fit(read(work, *splits), folder, **settings)
    else:
        fit_network(name, work, folder, **settings)
    return {
        "fit_seconds": time.monotonic() - started,
        "peak_mb": _peak_mb(),
        "disk_mb": sum(file.stat().st_size for file in folder.iterdir()) / 1e6,
    }


def predict_split(name: str, work: Path, models: Path, split: str) -> tuple[list[str], list[str], float]:
    """Return the true and the predicted categories of a split, and the seconds of prediction from raw titles."""
    rows, predict = read(work, split), load(name, models)
    titles = rows.title.tolist()
    started = time.monotonic()
    predicted = list(predict(titles))
    return rows.category.tolist(), predicted, time.monotonic() - started


def evaluate_model(name: str, work: Path, models: Path, split: str) -> dict[str, float]:
    """Evaluate a model on a split: balanced accuracy, accuracy, and titles a second."""
    true, predicted, seconds = predict_split(name, work, models, split)
    return {
        "balanced_accuracy": score(true, predicted),
        "accuracy": float((np.asarray(true, object) == np.asarray(predicted, object)).mean()),
        "titles_per_second": len(true) / seconds,
    }


def trial(name: str, work: Path, settings: Settings, splits: Sequence[str], tested: str) -> dict[str, float]:
    """Fit a temporary model and evaluate it on the split `tested`; use validation if the result serves to choose."""
    with tempfile.TemporaryDirectory() as models:
        cost = run_in_process(fit, name, work, Path(models), settings, splits)
        return cost | run_in_process(evaluate_model, name, work, Path(models), tested)


def score(true: Sequence[str], predicted: Sequence[str]) -> float:
    """Return the balanced accuracy of predicted category names."""
    labels = pd.factorize(np.concatenate([np.asarray(true, object), np.asarray(predicted, object)]))[0]
    return balanced_accuracy(labels[: len(true)], labels[len(true) :])


def _peak_mb() -> float:
    # Unlike ru_maxrss, VmHWM does not include the memory of the parent process before exec.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) * 1024 / 1e6


def fit_all(
    work: Path, models: Path, names: Sequence[str], seed: int, splits: Sequence[str] = ("train", "validation")
) -> dict[str, dict[str, float]]:
    """Fit models one after the other, the peers with their best settings; return the cost of each and of the mean.

    The cost of the mean is the seconds of both networks, each with its own embed, and the larger peak of memory.
    """
    costs = {}
    for name in names:
        settings = PEERS[name].best if name in PEERS else {"seed": seed}
        log_progress(f"{name}, {format_settings(settings)}")
        costs[name] = run_in_process(fit, name, work, models, settings, splits)
        log_progress(f"    fitted in {costs[name]['fit_seconds']:.1f} s, at most {costs[name]['peak_mb']:.0f} MB")
    if set(NETWORKS) <= costs.keys():
        both = pd.DataFrame([costs[network] for network in NETWORKS])
        costs["mean"] = both.sum().to_dict() | {"peak_mb": both.peak_mb.max()}
    return costs
