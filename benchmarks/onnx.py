"""A network under torch and exported under onnxruntime: `python -m benchmarks.onnx models/mlp titles.csv`.

The titles are those of an input file of `titles predict`. Both predict the best category of every title, in turns and
with the same number of threads. Prints the median titles a second of each, and how far their predictions differ.
"""

import argparse
import platform
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from benchmarks.report import log_progress, markdown
from titles.core.cpus import available_cpus
from titles.inference.classifier import Classifier
from titles.io.file_discovery import titles_file
from titles.onnx.classifier import OnnxClassifier
from titles.onnx.export import export


def compare(model: Path, exported: Path, titles: pa.StringArray, threads: int, rounds: int) -> dict[str, float]:
    """Predict the same titles with both; return their rates and the differences of their predictions."""
    torch.set_num_threads(threads)
    classifiers = {"torch": Classifier.load(model), "onnxruntime": OnnxClassifier.load(exported, threads)}
    predictions, seconds = {}, {name: [] for name in classifiers}
    for _ in range(rounds):
        for name, classifier in classifiers.items():
            started = time.monotonic()
            predictions[name] = classifier.top_k(titles)
            seconds[name].append(time.monotonic() - started)
            log_progress(f"{name}, {threads} threads: {len(titles) / seconds[name][-1]:,.0f} titles a second")
    (labels, scores), (other_labels, other_scores) = predictions.values()
    rates = {name: len(titles) / median(durations) for name, durations in seconds.items()}
    differences = {
        "other categories": np.sum(labels != other_labels),
        "scores differ by": np.nanmax(np.abs(scores - other_scores)),
    }
    return {"threads": threads, **rates, **differences}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.onnx", description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("titles", type=Path)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    titles = pa.concat_arrays([rows["title"].fill_null("") for rows in titles_file(options.titles).batches()])
    packages = ", ".join(f"{package} {version(package)}" for package in ("torch", "onnxruntime"))
    print(f"{available_cpus()} cores; Python {platform.python_version()}, {packages}; {len(titles):,} titles")
    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder) / "network.onnx"
        started = time.monotonic()
        export(options.model, exported)
        print(f"exported in {time.monotonic() - started:.1f} s, {exported.stat().st_size / 1e6:,.0f} MB", end=", ")
        started = time.monotonic()
        OnnxClassifier.load(exported)
        print(f"opened in {time.monotonic() - started:.1f} s\n")
        rows = [compare(options.model, exported, titles, threads, options.rounds) for threads in options.threads]
    integers = dict.fromkeys(["threads", "torch", "onnxruntime", "other categories"], ",.0f")
    print(markdown(pd.DataFrame(rows), integers | {"scores differ by": ".0e"}))


if __name__ == "__main__":
    main()
