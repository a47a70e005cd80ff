"""A model fitted and tested on a data folder, in processes of its own."""

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
from benchmarks.report import say
from titles.core.config import load_params
from titles.core.cpus import available_cpus
from titles.metrics.classification import balanced_accuracy


def prepare(raw: Path, work: Path, fraction: float) -> None:
    """The pipeline's prepare and reduce stages, to work/prepared and work/subsample."""
    from titles.preprocessing import prepare, subsample
    from titles.preprocessing.dedup_split import PrepareParams
    from titles.preprocessing.subsample import ReduceParams

    params: Settings = load_params(PARAMS, {"prepare": PrepareParams, "reduce": ReduceParams})
    prepare.prepare(raw, work / "prepared", params["prepare"])
    subsample.reduce(work / "prepared", work / "reduced", replace(params["reduce"], fraction=fraction))


def read(work: Path, *splits: str) -> pd.DataFrame:
    """The titles of the splits; train's are those of work/subsample."""
    files = [work / ("reduced" if split == "train" else "prepared") / f"{split}.parquet" for split in splits]
    rows = pd.concat([pd.read_parquet(file, columns=["title", "cleaned", "category"]) for file in files])
    return rows.fillna({"title": ""})


def splits_seen(share: float) -> list[str]:
    """Return the splits that peers fit: of a part of the training titles that part alone, as validation is whole."""
    return ["train", "validation"] if share == 1 else ["train"]


def environment() -> str:
    """Describe the machine, the versions of Python and of the libraries that fit the models, and the commit."""
    processor = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    packages = ", ".join(f"{package} {_version(package)}" for package in ("fasttext", "scikit-learn", "torch"))
    cores = available_cpus()
    where = f"{(processor or [platform.machine()])[0]}, {cores} cores"
    return f"{where}; Python {platform.python_version()}, {packages}; commit {commit()}"


def commit() -> str:
    """Return the commit, and whether what is measured has changed since."""
    head = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], text=True).strip()
    status = ["git", "status", "--porcelain", "--", "src", "benchmarks", "params.yaml", "data/demo"]
    return head + ("+changes" if subprocess.check_output(status) else "")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed, and left out"


def machine(work: Path) -> str:
    """Describe the environment and the titles of `work`."""
    rows = {split: read(work, split) for split in ("train", "validation", "test")}
    counts = ", ".join(f"{len(titles):,} {split}" for split, titles in rows.items())
    return f"{environment()}\n{counts} titles; {rows['train'].category.nunique():,} categories\n"


def described(settings: Settings) -> str:
    """The settings in one line."""
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls it in a fresh process, so that time and memory are its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def fit(name: str, work: Path, models: Path, settings: Settings, splits: Sequence[str]) -> dict[str, float]:
    """Writes the model to its folder in `models`; what that took, imports included.

    Peers fit the rows of all `splits`.
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
    """Return the true and the predicted categories of the titles of a split, and the seconds from their raw text on."""
    rows, predict = read(work, split), load(name, models)
    titles = rows.title.tolist()
    started = time.monotonic()
    predicted = list(predict(titles))
    return rows.category.tolist(), predicted, time.monotonic() - started


def examine(name: str, work: Path, models: Path, split: str) -> dict[str, float]:
    """Test the model on the titles of a split: balanced accuracy, accuracy, and titles a second."""
    true, predicted, seconds = predict_split(name, work, models, split)
    return {
        "balanced_accuracy": score(true, predicted),
        "accuracy": float((np.asarray(true, object) == np.asarray(predicted, object)).mean()),
        "titles_per_second": len(true) / seconds,
    }


def trial(name: str, work: Path, settings: Settings, splits: Sequence[str], tested: str) -> dict[str, float]:
    """Fit a model that is not kept and test it; whoever chooses by the result tests on validation, not on test."""
    with tempfile.TemporaryDirectory() as models:
        cost = alone(fit, name, work, Path(models), settings, splits)
        return cost | alone(examine, name, work, Path(models), tested)


def score(true: Sequence[str], said: Sequence[str]) -> float:
    """The balanced accuracy of names of categories."""
    labels = pd.factorize(np.concatenate([np.asarray(true, object), np.asarray(said, object)]))[0]
    return balanced_accuracy(labels[: len(true)], labels[len(true) :])


def _peak_mb() -> float:
    # Unlike ru_maxrss this knows nothing of the process that started this one.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) * 1024 / 1e6


def fit_all(
    work: Path, models: Path, names: Sequence[str], seed: int, splits: Sequence[str] = ("train", "validation")
) -> dict[str, dict[str, float]]:
    """Fits models one after the other, the peers with their best settings; what each took, and the mean of ours.

    The mean takes the seconds of both networks, each with its own embed, and the memory of the larger.
    """
    costs = {}
    for name in names:
        settings = PEERS[name].best if name in PEERS else {"seed": seed}
        say(f"{name}, {described(settings)}")
        costs[name] = alone(fit, name, work, models, settings, splits)
        say(f"    fitted in {costs[name]['fit_seconds']:.1f} s, at most {costs[name]['peak_mb']:.0f} MB")
    if set(NETWORKS) <= costs.keys():
        parts = pd.DataFrame([costs[network] for network in NETWORKS])
        costs["mean"] = parts.sum().to_dict() | {"peak_mb": parts.peak_mb.max()}
    return costs
