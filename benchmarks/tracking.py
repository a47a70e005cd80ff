"""Cost of MLflow tracking: `python -m benchmarks.tracking`, in a clone of the last commit, with a store of its own.

Measures the seconds of the six stages with and without tracking, in turn. Then measures the memory of each training
stage at two sizes: the peak of the summed proportional set sizes of all its processes, sampled ten times a second.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

FRACTIONS = (0.1, 1)
MODES = ("off", "on")


def start(clone: Path, tracking: str, *command: str) -> subprocess.Popen[bytes]:
    """Start a DVC command in the clone."""
    names = ("DVC_ROOT", "MLFLOW_TRACKING_URI")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    environment |= {"TITLES_TRACKING": tracking, "DVC_NO_ANALYTICS": "1"}
    return subprocess.Popen(["dvc", *command], cwd=clone, env=environment, stdout=subprocess.DEVNULL)


def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for the command; raise CalledProcessError if it failed."""
    if process.wait():
        raise subprocess.CalledProcessError(process.returncode, process.args)


def seconds(clone: Path, tracking: str) -> float:
    """Return the seconds of the six stages."""
    started = time.monotonic()
    finish(start(clone, tracking, "repro", "--force"))
    return time.monotonic() - started


def peak_megabytes(clone: Path, tracking: str, stage: str) -> float:
    """Return the peak memory of a stage in MB, with its tracking worker and without DVC."""
    process, peak = start(clone, tracking, "repro", "--force", "--single-item", stage), 0.0
    while process.poll() is None:
        used = 0
        for child in psutil.Process(process.pid).children(recursive=True):
            try:
                used += child.memory_full_info().pss
            except psutil.Error:
                continue
        peak = max(peak, used / 2**20)
        time.sleep(0.1)
    finish(process)
    return peak


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.tracking", description=__doc__)
    parser.add_argument(
        "--pairs", type=int, default=3, help="number of runs of the six stages with and without tracking"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "titles"
        subprocess.run(["git", "clone", "--quiet", ".", str(clone)], check=True)
        # Warm-up: creates the store and fills the file cache.
        seconds(clone, "on")
        times: dict[str, list[float]] = {mode: [] for mode in MODES}
        for _ in range(options.pairs):
            for mode in MODES:
                times[mode].append(seconds(clone, mode))
        more = statistics.median(on - off for off, on in zip(times["off"], times["on"], strict=True))
        for mode in MODES:
            print(f"six stages, tracking {mode}:", ", ".join(f"{time:.1f} s" for time in times[mode]), flush=True)
        print(f"median of the differences: {more:.1f} s\n")
        print("| stage | training titles | tracking off | tracking on | more |\n|---|---|---|---|---|", flush=True)
        for fraction in FRACTIONS:
            finish(start(clone, "off", "exp", "run", "-S", f"reduce.fraction={fraction}", "-S", "train.epochs=1"))
            titles = len(np.load(clone / "data/embedded/train.labels.npy", mmap_mode="r"))
            for stage in ("train_mlp", "train_cnn"):
                off, on = (peak_megabytes(clone, mode, stage) for mode in MODES)
                print(f"| {stage} | {titles:,} | {off:.0f} MB | {on:.0f} MB | {on - off:.0f} MB |", flush=True)


if __name__ == "__main__":
    main()
