"""What one would pick instead, and our networks, on the same titles: `python -m benchmarks.peers FOLDER`.

FOLDER is a data folder as the pipeline takes it. All learn from its train and validation rows: the peers fit both, our
networks fit the first and choose the epoch and the temperature by the second. Of a `--fraction` of train the peers fit
that alone. `--search` finds the peers' settings, judged on validation.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benchmarks.contenders import NETWORKS, PEERS
from benchmarks.report import markdown, say
from benchmarks.trials import alone, examine, fit_all, machine, prepare, splits_seen, trial


def compare(work: Path, seeds: Sequence[int], splits: Sequence[str]) -> pd.DataFrame:
    """A row a model: the means over its fits, and the lowest and highest balanced accuracy. Peers are fitted once."""
    runs = []
    for seed in seeds:
        models = work / "models" / str(seed)
        names = [*PEERS, *NETWORKS] if seed == seeds[0] else NETWORKS
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


def search(work: Path) -> None:
    """Fits every candidate of every peer on train, prints what it is worth on validation, and the best of each."""
    best = {}
    print("| model | settings | balanced accuracy | seconds | peak MB |\n|---|---|---|---|---|", flush=True)
    for name, peer in PEERS.items():
        scores = []
        for settings in peer.candidates():
            found = trial(name, work, settings, ["train"], "validation")
            scores.append((found["balanced_accuracy"], settings))
            numbers = f"{found['balanced_accuracy']:.4f} | {found['fit_seconds']:.1f} | {found['peak_mb']:.0f}"
            print(f"| {name} | {settings} | {numbers} |", flush=True)
        best[name] = max(scores, key=lambda candidate: candidate[0])
    print("\nbest on validation:")
    for name, (found, settings) in best.items():
        print(f"{name}: {settings}, balanced accuracy {found:.4f}")


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
