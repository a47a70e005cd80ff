"""The experiments of the notebooks this grew out of, as a table: `python -m benchmarks.notebooks data/demo`.

A CNN on all training titles, a CNN on a tenth of them, an MLP on a tenth of them, each with relu and with sigmoid.
Every line is one `dvc exp run`; the folder must be tracked by DVC or Git. Leaves the workspace as the last one made it.
"""

import argparse
import json
import re
import subprocess
from pathlib import Path

RUNS = [
    (network, fraction, activation)
    for network, fraction in [("cnn", 1), ("cnn", 0.1), ("mlp", 0.1)]
    for activation in ("relu", "sigmoid")
]


def run(folder: str, fraction: float, activation: str) -> tuple[str, str]:
    """The command, and what it printed."""
    command = f"dvc exp run -S data.raw={folder} -S reduce.fraction={fraction} -S model.activation={activation}"
    done = subprocess.run(
        [*command.split(), "--force"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True
    )
    return command, done.stdout


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.notebooks", description=__doc__)
    parser.add_argument("folder")
    options = parser.parse_args()
    print("| network | training titles | activation | balanced accuracy | training | command |")
    print("|---|---|---|---|---|---|")
    done: dict[tuple[float, str], tuple[str, str, dict[str, dict[str, float]]]] = {}
    for network, fraction, activation in RUNS:
        if (fraction, activation) not in done:
            command, printed = run(options.folder, fraction, activation)
            done[fraction, activation] = command, printed, json.loads(Path("results/metrics.json").read_text())
        command, printed, metrics = done[fraction, activation]
        kept = re.findall(r"reduce: ([\d,]+) of", printed)[0]
        seconds = re.findall(rf"train_{network}: done in (.*?),", printed)[0]
        score = metrics[network]["balanced_accuracy"]
        print(f"| {network.upper()} | {kept} | {activation} | {score:.4f} | {seconds} | `{command}` |", flush=True)


if __name__ == "__main__":
    main()
