"""Ablation study of the networks: `python -m benchmarks.ablation FOLDER --tested SPLIT`.

The table has a row per component. It gives balanced accuracy on the split and the seconds of embed and training: once
with all components but this one, and once with this one alone. The first row is the networks of params.yaml, with all
components and with none. Choose components with `--tested validation`, and report the choice with `--tested test`.
"""

import argparse
import tempfile
from pathlib import Path

import pandas as pd

from benchmarks.contenders import NETWORKS, Changes, merge_changes
from benchmarks.report import log_progress, markdown
from benchmarks.trials import describe_run, prepare, trial

# The changes to params.yaml that switch the component off.
COMPONENTS: dict[str, Changes] = {
    "ensemble": {"model": {"ensemble_size": 1}},
    "bigrams": {"embed": {"bigrams": 0}},
    "subwords": {"embed": {"subword_max_n": 0}},
    "word dropout": {"model": {"word_dropout": 0.0}},
    "dropout": {"model": {"dropout": 0.0}},
    "label smoothing": {"train": {"label_smoothing": 0.0}},
    "objective balanced_accuracy": {"train": {"objective": "accuracy"}},
    "removal of suspect labels": {"train": {"drop_suspect_labels": False}},
    "minimum number of steps": {"train": {"min_steps": 1}},
}


def measure(work: Path, network: str, components: list[str], seed: int, tested: str) -> dict[str, float]:
    """Train the network without these components and evaluate it on a split."""
    log_progress(f"{network} without {', '.join(components) or 'nothing'}")
    changes = merge_changes(*(COMPONENTS[component] for component in components))
    result = trial(network, work, {"seed": seed, "changes": changes}, ["train", "validation"], tested)
    return {"balanced accuracy": result["balanced_accuracy"], "seconds": result["fit_seconds"]}


def ablate(work: Path, network: str, seed: int, tested: str) -> pd.DataFrame:
    """Return the table of one network."""
    rows = []
    for component in [None, *COMPONENTS]:
        others = [other for other in COMPONENTS if other != component]
        without = measure(work, network, [component] if component else [], seed, tested)
        alone = measure(work, network, others, seed, tested)
        rows.append(
            {f"{network}: component": component or "all, and none"}
            | {f"{key} without": value for key, value in without.items()}
            | {f"{key} alone": value for key, value in alone.items()}
        )
    return pd.DataFrame(rows)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.ablation", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tested", choices=["validation", "test"], required=True, help="split to evaluate on")
    parser.add_argument("--fraction", type=float, default=1, help="share of the training titles to train on")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--seed", type=int, default=2019)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        prepare(options.folder, Path(folder), options.fraction)
        print(f"{describe_run(Path(folder))}Evaluated on {options.tested}.\n", flush=True)
        for network in options.networks:
            table = ablate(Path(folder), network, options.seed, options.tested)
            print(markdown(table, {"seconds without": ".0f", "seconds alone": ".0f"}), flush=True)


if __name__ == "__main__":
    main()
