"""What each part of the networks gives: `python -m benchmarks.ablation FOLDER --tested SPLIT`.

A row a part: balanced accuracy on the split and seconds of embed and training, with all parts but this one, and with
none but this one. The first row is the networks of params.yaml, and what is left without any of the parts. Choose parts
by `--tested validation`; `--tested test` reports what the chosen ones give.
"""

import argparse
import tempfile
from pathlib import Path

import pandas as pd

from benchmarks.contenders import NETWORKS, Changes, joined
from benchmarks.report import markdown, say
from benchmarks.trials import machine, prepare, trial

# What takes the part out of the networks.
PARTS: dict[str, Changes] = {
    "members of their own": {"model": {"members": 1}},
    "pairs of words": {"embed": {"bigrams": 0}},
    "subwords": {"embed": {"subword_max_n": 0}},
    "dropout on words": {"model": {"word_dropout": 0.0}},
    "dropout": {"model": {"dropout": 0.0}},
    "label smoothing": {"train": {"label_smoothing": 0.0}},
    "decisions for balanced accuracy": {"train": {"objective": "accuracy"}},
    "dropping suspect labels": {"train": {"drop_suspect_labels": False}},
    "epochs that follow from the data": {"train": {"min_steps": 1}},
}


def measure(work: Path, network: str, parts: list[str], seed: int, tested: str) -> dict[str, float]:
    """Train the network without these parts and test it on a split."""
    say(f"{network} without {', '.join(parts) or 'nothing'}")
    changes = joined(*(PARTS[part] for part in parts))
    found = trial(network, work, {"seed": seed, "changes": changes}, ["train", "validation"], tested)
    return {"balanced accuracy": found["balanced_accuracy"], "seconds": found["fit_seconds"]}


def ablate(work: Path, network: str, seed: int, tested: str) -> pd.DataFrame:
    """The table of one network."""
    rows = []
    for part in [None, *PARTS]:
        lost = measure(work, network, [part] if part else [], seed, tested)
        given = measure(work, network, [other for other in PARTS if other != part], seed, tested)
        rows.append(
            {f"{network}: part": part or "all, and none"}
            | {f"{key} without": value for key, value in lost.items()}
            | {f"{key} alone": value for key, value in given.items()}
        )
    return pd.DataFrame(rows)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.ablation", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tested", choices=["validation", "test"], required=True, help="the split to test on")
    parser.add_argument("--fraction", type=float, default=1, help="the share of the training titles to learn from")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--seed", type=int, default=2019)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        prepare(options.folder, Path(folder), options.fraction)
        print(f"{machine(Path(folder))}Tested on {options.tested}.\n", flush=True)
        for network in options.networks:
            table = ablate(Path(folder), network, options.seed, options.tested)
            print(markdown(table, {"seconds without": ".0f", "seconds alone": ".0f"}), flush=True)


if __name__ == "__main__":
    main()
