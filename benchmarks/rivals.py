"""The rows of `benchmarks.scale` in which the plain MLP stands beside what one would pick instead."""

import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any
from unittest import mock

from benchmarks.contenders import PEERS, Settings
from benchmarks.limits import peaks
from benchmarks.trials import alone, examine, fit, read, trial
from benchmarks.workspace import Line, Parts, Workspace, catalogue_rows

FASTTEXT_EPOCHS, FASTTEXT_RATES = 3, (0.1, 0.5)
PEERS_SIZE = "20k"


def fasttext(space: Workspace) -> Parts:
    """fastText's softmax and the plain MLP on the same titles, for as many epochs and on as many threads."""
    space.need("plain", "prepare", "reduce", "embed")
    for rate in FASTTEXT_RATES:
        yield f"fasttext, rate {rate}", lambda rate=rate: [alone(fitted_fasttext, space, rate)]
    yield "mlp", lambda: [compared_mlp(space)]


def fitted_fasttext(space: Workspace, rate: float) -> Line:
    """Its own time from the file of titles on, and its balanced accuracy. Called in a process of its own."""
    import fasttext as library

    seconds, train = [], library.train_supervised

    def timed(*arguments: Any, **settings: Any) -> Any:
        started = time.monotonic()
        model = train(*arguments, **settings)
        seconds.append(time.monotonic() - started)
        return model

    settings = {"epoch": FASTTEXT_EPOCHS, "lr": rate, "wordNgrams": 1, "subwords": (0, 0)}
    titles = space.titles("train_mlp", "plain")
    with tempfile.TemporaryDirectory() as models, mock.patch.object(library, "train_supervised", timed):
        fit("fastText", space.folder, Path(models), settings, ["train"])
        tested = examine("fastText", space.folder, Path(models), "test")
    speed = {"seconds": round(seconds[0], 1), "titles_per_second": round(FASTTEXT_EPOCHS * titles / seconds[0])}
    return {"titles": titles, "epochs": FASTTEXT_EPOCHS, **speed, "balanced_accuracy": tested["balanced_accuracy"]}


def compared_mlp(space: Workspace) -> Line:
    """The plain MLP after fastText's number of epochs; its titles a second are those of the whole stage."""
    line = space.stage("train_mlp", "plain", {"train": {"epochs": FASTTEXT_EPOCHS, "patience": FASTTEXT_EPOCHS}})
    line["titles_per_second"] = round(FASTTEXT_EPOCHS * line["titles"] / line["seconds"])
    accuracy = space.evaluate_twice("plain", "mlp")["balanced_accuracy"]
    return line | {"epochs": FASTTEXT_EPOCHS, "balanced_accuracy": accuracy}


def prediction(space: Workspace) -> Parts:
    """The plain MLP through the command line, a catalogue in and a table out, and the peers on what they predict."""
    space.need("plain", "prepare", "reduce", "embed", "train_mlp")
    yield "titles predict, mlp", lambda: [predicted(space)]
    # To be as fast on other titles, they need as many categories and not as many titles.
    fewer = Workspace(space.checkout, space.folder.parent / PEERS_SIZE, catalogue_rows(PEERS_SIZE))
    yield "fastText", lambda: [peer_predicted(fewer, "fastText", PEERS["fastText"].best | {"epoch": FASTTEXT_EPOCHS})]
    yield "words, linear SVM", lambda: [peer_predicted(fewer, "words, linear SVM", {"C": 1})]


def predicted(space: Workspace) -> Line:
    """All rows of the catalogue, the training ones among them; the whole process, imports included."""
    model, out = space.paths("train_mlp", "plain")[-1], space.folder / "predicted.parquet"
    before = peaks()
    cost, _ = space.python({}, "titles", "predict", model, space.catalogue(), "-o", out)
    multiplied, copied = (mean(pair) for pair in zip(before, peaks(), strict=True))
    limits = {"peak_gflops": round(multiplied, 4), "copied_gb_per_second": round(copied, 4)}
    return {"titles": space.rows, **cost, "titles_per_second": round(space.rows / cost["seconds"]), **limits}


def peer_predicted(space: Workspace, peer: str, settings: Settings) -> Line:
    """Fitted on the catalogue's training titles, asked for the test titles at once; its memory is that of the fit."""
    space.need("defaults", "prepare", "reduce")
    found = trial(peer, space.folder, settings, ["train"], "test")
    titles, rate = len(read(space.folder, "test")), round(found["titles_per_second"])
    return {"titles": titles, "anonymous_mb": round(found["peak_mb"]), "titles_per_second": rate}
