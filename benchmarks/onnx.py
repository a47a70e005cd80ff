"""A network under torch and exported under onnxruntime: `python -m benchmarks.onnx models/mlp titles.csv`.

The titles are those of a file as `titles predict` takes it. Both find the best category of all of them, in turns, with
as many threads; what is told is the median of the titles a second, and how far what they say differs.
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

from benchmarks.report import markdown, say
from titles.core.cpus import available_cpus
from titles.inference.classifier import Classifier
from titles.io.file_discovery import titles_file
from titles.onnx.classifier import OnnxClassifier
from titles.onnx.export import export


def compare(model: Path, exported: Path, titles: pa.StringArray, threads: int, rounds: int) -> dict[str, float]:
    """Both on the same titles."""
    torch.set_num_threads(threads)
    both = {"torch": Classifier.load(model), "onnxruntime": OnnxClassifier.load(exported, threads)}
    found, seconds = {}, {name: [] for name in both}
    for _ in range(rounds):
        for name, classifier in both.items():
            started = time.monotonic()
            found[name] = classifier.top_k(titles)
            seconds[name].append(time.monotonic() - started)
            say(f"{name}, {threads} threads: {len(titles) / seconds[name][-1]:,.0f} titles a second")
    (labels, scores), (others, other_scores) = found.values()
    rates = {name: len(titles) / median(of_rounds) for name, of_rounds in seconds.items()}
    differ = {
        "other categories": np.sum(labels != others),
        "scores differ by": np.nanmax(np.abs(scores - other_scores)),
    }
    return {"threads": threads, **rates, **differ}


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
    whole = dict.fromkeys(["threads", "torch", "onnxruntime", "other categories"], ",.0f")
    print(markdown(pd.DataFrame(rows), whole | {"scores differ by": ".0e"}))


if __name__ == "__main__":
    main()
