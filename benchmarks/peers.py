"""What one would pick instead, and our networks, on the same titles: `python -m benchmarks.peers FOLDER`.

FOLDER is a data folder as the pipeline takes it. All learn from its train and validation rows: the peers fit both, our
networks fit the first and choose the epoch and the temperature by the second. Of a `--fraction` of train the peers fit
that alone. Balanced accuracy is reported on test. `--search` tunes the peers instead, on validation.
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
from benchmarks.report import markdown, say
from benchmarks.trials import (
    alone,
    described,
    examine,
    fit,
    fit_all,
    machine,
    predict_split,
    prepare,
    read,
    splits_seen,
    trial,
)

LARGE = 30_000
VARIED = ("alpha", "fit_prior", "subwords", "class_weight")
VARIED_OF_LARGE = ("alpha", "fit_prior", "class_weight")


def installed_peers() -> list[str]:
    """The names of the peers whose library is installed, which fastText's may not be."""
    return [name for name in PEERS if name != "fastText" or find_spec("fasttext")]


def compare(work: Path, seeds: Sequence[int], splits: Sequence[str]) -> pd.DataFrame:
    """A row a model: the means over its fits, and the lowest and highest balanced accuracy. Peers are fitted once."""
    runs = []
    for seed in seeds:
        models = work / "models" / str(seed)
        names = [*installed_peers(), *NETWORKS] if seed == seeds[0] else NETWORKS
        for name, cost in fit_all(work, models, names, seed, splits).items():
            tested = alone(examine, name, work, models, "test")
            say(f"{name}: balanced accuracy {tested['balanced_accuracy']:.4f}")
            runs.append({"model": name} | tested | cost)
    models_runs = pd.DataFrame(runs).groupby("model", sort=False)
    table = models_runs.mean()
    table.insert(1, "lowest", models_runs.balanced_accuracy.min())
    table.insert(2, "highest", models_runs.balanced_accuracy.max())
    table.insert(3, "fits", models_runs.size())
    return table.reset_index()


def tune(name: str, work: Path, candidates: Iterable[Settings]) -> tuple[float, Settings]:
    """Fit a peer with each of the settings on train; return the best balanced accuracy on validation, and its settings.

    Of equals the first is returned.
    """
    tried = []
    for settings in candidates:
        found = trial(name, work, settings, ["train"], "validation")
        numbers = f"{found['balanced_accuracy']:.4f}, {found['fit_seconds']:.1f} s, {found['peak_mb']:.0f} MB"
        say(f"    {name}, {described(settings)}: balanced accuracy on validation {numbers}")
        tried.append((found["balanced_accuracy"], settings))
    return max(tried, key=lambda candidate: candidate[0])


def tuned(work: Path) -> dict[str, Settings]:
    """Return the settings of each installed peer that are best on validation, varying those in `VARIED`.

    On more than `LARGE` training titles fastText keeps its defaults, and the SVM with characters takes over the
    `class_weight` of the SVM of words: to fit either several times would take most of an hour.
    """
    is_large = len(read(work, "train")) > LARGE
    chosen: dict[str, Settings] = {}
    for name in installed_peers():
        candidates = list(PEERS[name].candidates(VARIED_OF_LARGE if is_large else VARIED))
        if is_large and name == CHARACTER_SVM:
            candidates = [PEERS[name].best | {"class_weight": chosen[WORD_SVM]["class_weight"]}]
        chosen[name] = tune(name, work, candidates)[1] if len(candidates) > 1 else candidates[0]
    return chosen


def tuned_and_tested(work: Path, splits: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Tune the installed peers, fit them to the rows of the splits, and test them."""
    for name, settings in tuned(work).items():
        cost = alone(fit, name, work, work / "peers", settings, splits)
        yield tested(name, work, work / "peers", cost) | {"settings": described(settings)}


def tested(name: str, work: Path, models: Path, cost: dict[str, float]) -> dict[str, Any]:
    """Return the accuracies of a fitted model on test, with their intervals, and the seconds it took to fit."""
    true, predicted, _ = alone(predict_split, name, work, models, "test")
    found = accuracies(true, predicted)
    say(f"{name}: balanced accuracy {found['balanced_accuracy']:.4f}, accuracy {found['accuracy']:.4f}")
    return {"model": name} | found | {"fit_seconds": cost["fit_seconds"]}


def search(work: Path) -> None:
    """Print the best settings of each peer, of all combinations of its choices."""
    for name in installed_peers():
        found, settings = tune(name, work, PEERS[name].candidates())
        print(f"{name}: {described(settings)}, balanced accuracy on validation {found:.4f}", flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.peers", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fraction", type=float, default=1, help="the share of the training titles to learn from")
    parser.add_argument("--seeds", type=int, nargs="+", default=[2019, 2020, 2021], help="of our networks")
    parser.add_argument("--search", action="store_true", help="find the peers' settings instead")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/peers.csv"), help="the table as CSV")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        prepare(options.folder, work, options.fraction)
        print(machine(work), flush=True)
        if options.search:
            search(work)
            return
        table = compare(work, options.seeds, splits_seen(options.fraction))
    table.to_csv(options.out, index=False)
    whole = dict.fromkeys(["fits", "peak_mb", "titles_per_second"], ",.0f")
    print(markdown(table, whole | {"fit_seconds": ".1f", "disk_mb": ",.1f"}))


if __name__ == "__main__":
    main()
