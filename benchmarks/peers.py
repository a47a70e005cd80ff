"""Established models and our networks on the same titles: `python -m benchmarks.peers FOLDER`.

FOLDER is a data folder of the pipeline. All models learn from its train and validation rows: the peers are fitted on
both; the networks are fitted on train, and their epoch and temperature are chosen on validation. With a `--fraction` of
train, the peers are fitted on that fraction only. Balanced accuracy is reported on test. `--search` tunes the peers
instead, on validation.
"""

import argparse
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.contenders import CHARACTER_SVM, NETWORKS, PEERS, WORD_SVM, Settings
from benchmarks.intervals import accuracies
from benchmarks.report import log_progress, markdown
from benchmarks.trials import (
    describe_run,
    evaluate_model,
    fit,
    fit_all,
    format_settings,
    predict_split,
    prepare,
    read,
    run_in_process,
    training_splits,
    trial,
)

LARGE = 30_000
TUNED = ("alpha", "fit_prior", "subwords", "class_weight")
TUNED_IF_LARGE = ("alpha", "fit_prior", "class_weight")


def installed_peers() -> list[str]:
    """Return the names of the peers that are installed; fastText is optional."""
    return [name for name in PEERS if name != "fastText" or find_spec("fasttext")]


def compare(work: Path, seeds: Sequence[int], splits: Sequence[str]) -> pd.DataFrame:
    """Return a row per model: means over its fits, lowest and highest balanced accuracy. Peers are fitted once."""
    runs = []
    for seed in seeds:
        models = work / "models" / str(seed)
        names = [*installed_peers(), *NETWORKS] if seed == seeds[0] else NETWORKS
        for name, cost in fit_all(work, models, names, seed, splits).items():
            result = run_in_process(evaluate_model, name, work, models, "test")
            log_progress(f"{name}: balanced accuracy {result['balanced_accuracy']:.4f}")
            runs.append({"model": name} | result | cost)
    runs_by_model = pd.DataFrame(runs).groupby("model", sort=False)
    table = runs_by_model.mean()
    table.insert(1, "lowest", runs_by_model.balanced_accuracy.min())
    table.insert(2, "highest", runs_by_model.balanced_accuracy.max())
    table.insert(3, "fits", runs_by_model.size())
    return table.reset_index()


def tune(name: str, work: Path, candidates: Iterable[Settings]) -> tuple[float, Settings]:
    """Fit a peer on train with each of the settings; return the best balanced accuracy on validation, and its settings.

    Of equal results the first is returned.
    """
    results = []
    for settings in candidates:
        result = trial(name, work, settings, ["train"], "validation")
        figures = f"{result['balanced_accuracy']:.4f}, {result['fit_seconds']:.1f} s, {result['peak_mb']:.0f} MB"
        log_progress(f"    {name}, {format_settings(settings)}: balanced accuracy on validation {figures}")
        results.append((result["balanced_accuracy"], settings))
    return max(results, key=lambda candidate: candidate[0])


def tune_all(work: Path) -> dict[str, Settings]:
    """Tune the settings in `TUNED` of each installed peer on validation; return the best settings.

    With more than `LARGE` training titles fastText has its defaults, and the SVM with characters takes the
    `class_weight` of the SVM of words: to fit either several times would take most of an hour.
    """
    is_large = len(read(work, "train")) > LARGE
    best: dict[str, Settings] = {}
    for name in installed_peers():
        candidates = list(PEERS[name].candidates(TUNED_IF_LARGE if is_large else TUNED))
        if is_large and name == CHARACTER_SVM:
            candidates = [PEERS[name].best | {"class_weight": best[WORD_SVM]["class_weight"]}]
        best[name] = tune(name, work, candidates)[1] if len(candidates) > 1 else candidates[0]
    return best


def tune_and_test(work: Path, splits: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Tune the installed peers, fit them on the rows of the splits, and evaluate them on test."""
    for name, settings in tune_all(work).items():
        cost = run_in_process(fit, name, work, work / "peers", settings, splits)
        yield evaluate_on_test(name, work, work / "peers", cost) | {"settings": format_settings(settings)}


def evaluate_on_test(name: str, work: Path, models: Path, cost: dict[str, float]) -> dict[str, Any]:
    """Return the accuracies of a fitted model on test, with their intervals, and the seconds it took to fit."""
    true, predicted, _ = run_in_process(predict_split, name, work, models, "test")
    result = accuracies(true, predicted)
    log_progress(f"{name}: balanced accuracy {result['balanced_accuracy']:.4f}, accuracy {result['accuracy']:.4f}")
    return {"model": name} | result | {"fit_seconds": cost["fit_seconds"]}


def search(work: Path) -> None:
    """Print the best settings of each peer, from a grid search over its choices."""
    for name in installed_peers():
        accuracy, settings = tune(name, work, PEERS[name].candidates())
        print(f"{name}: {format_settings(settings)}, balanced accuracy on validation {accuracy:.4f}", flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.peers", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fraction", type=float, default=1, help="share of the training titles to train on")
    parser.add_argument("--seeds", type=int, nargs="+", default=[2019, 2020, 2021], help="seeds of the networks")
    parser.add_argument("--search", action="store_true", help="tune the settings of the peers instead")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/peers.csv"), help="CSV file for the table")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        prepare(options.folder, work, options.fraction)
        print(describe_run(work), flush=True)
        if options.search:
            search(work)
            return
        table = compare(work, options.seeds, training_splits(options.fraction))
    table.to_csv(options.out, index=False)
    integers = dict.fromkeys(["fits", "peak_mb", "titles_per_second"], ",.0f")
    print(markdown(table, integers | {"fit_seconds": ".1f", "disk_mb": ",.1f"}))


if __name__ == "__main__":
    main()
