"""Rows of `benchmarks.scale` that compare the plain MLP with established models."""

import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any
from unittest import mock

from benchmarks.contenders import PEERS, Settings
from benchmarks.limits import peaks
from benchmarks.trials import evaluate_model, fit, read, run_in_process, trial
from benchmarks.workspace import Line, Measurements, Workspace, catalogue_rows

FASTTEXT_EPOCHS, FASTTEXT_RATES = 3, (0.1, 0.5)
SIZE_FOR_PEERS = "20k"


def fasttext(space: Workspace) -> Measurements:
    """Train fastText and the plain MLP on the same titles, with equal numbers of epochs and threads."""
    space.require("plain", "prepare", "reduce", "embed")
    for rate in FASTTEXT_RATES:
        yield f"fasttext, rate {rate}", lambda rate=rate: [run_in_process(measure_fasttext, space, rate)]
    yield "mlp", lambda: [measure_mlp(space)]


def measure_fasttext(space: Workspace, rate: float) -> Line:
    """Measure the time of fastText from the file of titles on, and its balanced accuracy. Runs in its own process."""
    import fasttext as library

    seconds, train = [], library.train_supervised

    def timed_train(*arguments: Any, **settings: Any) -> Any:
        started = time.monotonic()
        model = train(*arguments, **settings)
        seconds.append(time.monotonic() - started)
        return model

    settings = {"epoch": FASTTEXT_EPOCHS, "lr": rate, "wordNgrams": 1, "subwords": (0, 0)}
    titles = space.titles("train_mlp", "plain")
    with tempfile.TemporaryDirectory() as models, mock.patch.object(library, "train_supervised", timed_train):
        fit("fastText", space.folder, Path(models), settings, ["train"])
        result = evaluate_model("fastText", space.folder, Path(models), "test")
    speed = {"seconds": round(seconds[0], 1), "titles_per_second": round(FASTTEXT_EPOCHS * titles / seconds[0])}
    return {"titles": titles, "epochs": FASTTEXT_EPOCHS, **speed, "balanced_accuracy": result["balanced_accuracy"]}


def measure_mlp(space: Workspace) -> Line:
    """Measure the plain MLP with the epochs of fastText; its titles a second are those of the complete stage."""
    line = space.stage("train_mlp", "plain", {"train": {"epochs": FASTTEXT_EPOCHS, "patience": FASTTEXT_EPOCHS}})
    line["titles_per_second"] = round(FASTTEXT_EPOCHS * line["titles"] / line["seconds"])
    accuracy = space.evaluate_twice("plain", "mlp")["balanced_accuracy"]
    return line | {"epochs": FASTTEXT_EPOCHS, "balanced_accuracy": accuracy}


def prediction(space: Workspace) -> Measurements:
    """Predict a catalogue with the plain MLP through `titles predict`, and test titles with the peers."""
    space.require("plain", "prepare", "reduce", "embed", "train_mlp")
    yield "titles predict, mlp", lambda: [measure_predict(space)]
    # The speed of the peers depends on the number of categories, not on that of the training titles.
    small = Workspace(space.checkout, space.folder.parent / SIZE_FOR_PEERS, catalogue_rows(SIZE_FOR_PEERS))
    settings = PEERS["fastText"].best | {"epoch": FASTTEXT_EPOCHS}
    yield "fastText", lambda: [measure_peer_predict(small, "fastText", settings)]
    yield "words, linear SVM", lambda: [measure_peer_predict(small, "words, linear SVM", {"C": 1})]


def measure_predict(space: Workspace) -> Line:
    """Measure `titles predict` on all rows of the catalogue, training rows and the start of the process included."""
    model, out = space.paths("train_mlp", "plain")[-1], space.folder / "predicted.parquet"
    before = peaks()
    cost, _ = space.python({}, "titles", "predict", model, space.catalogue(), "-o", out)
    multiplied, copied = (mean(pair) for pair in zip(before, peaks(), strict=True))
    limits = {"peak_gflops": round(multiplied, 4), "copied_gb_per_second": round(copied, 4)}
    return {"titles": space.rows, **cost, "titles_per_second": round(space.rows / cost["seconds"]), **limits}


def measure_peer_predict(space: Workspace, peer: str, settings: Settings) -> Line:
    """Fit a peer on the training titles and predict the test titles in one call; its memory is that of the fit."""
    space.require("defaults", "prepare", "reduce")
    result = trial(peer, space.folder, settings, ["train"], "test")
    titles, rate = len(read(space.folder, "test")), round(result["titles_per_second"])
    return {"titles": titles, "anonymous_mb": round(result["peak_mb"]), "titles_per_second": rate}
