"""The rows that `benchmarks.scale` can measure; each consists of named measurements."""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.rivals import fasttext, prediction
from benchmarks.workspace import SETUPS, Line, Measurements, Workspace, clone
from titles.data.encoded_dataset import Vocabulary

# Measurements of the complete pipeline: epochs, and the arguments of `dvc repro`.
PIPELINE: dict[str, tuple[int, list[str]]] = {
    "dvc repro embed": (1, ["embed"]),
    "dvc repro train_mlp": (3, ["-s", "train_mlp"]),
    "dvc repro train_cnn": (2, ["-s", "train_cnn"]),
    "dvc repro evaluate": (2, ["-s", "evaluate"]),
}

# Shape of the vectors of the Spanish Billion Words: words, dimension.
VECTORS_SHAPE = (1_000_653, 300)


def data(space: Workspace) -> Measurements:
    """Run prepare, reduce and embed with the settings of params.yaml, but on all titles."""
    space.catalogue()
    for stage in ("prepare", "reduce", "embed"):
        yield stage, lambda stage=stage: [space.stage(stage, "defaults")]


def vectors(space: Workspace) -> Measurements:
    """Run embed with pretrained vectors, in a file as large as that of the Spanish Billion Words."""
    space.require("defaults", "prepare", "reduce", "embed")
    prepared, reduced, folder, *written = space.paths("embed", "defaults")
    changes = {"embed": {"word_vectors": write_vectors(space, folder).name, "dimension": VECTORS_SHAPE[1]}}
    own = [space.folder / "vectors" / path.name for path in written]
    yield "embed, with vectors", lambda: [space.stage("embed", "defaults", changes, [prepared, reduced, folder, *own])]


def write_vectors(space: Workspace, folder: Path) -> Path:
    """Write the vectors of the words of the catalogue and of invented words; many words share a vector."""
    (count, dimension), file = VECTORS_SHAPE, folder / "vectors.txt"
    if not file.exists():
        folder.mkdir(exist_ok=True)
        words = Vocabulary.load(space.paths("embed", "defaults")[3]).words
        values = np.random.default_rng(0).normal(size=(100, dimension))
        texts = [" ".join(f"{value:.6f}" for value in vector) for vector in values]
        with (unfinished := folder / "unfinished.txt").open("w", encoding="utf-8") as lines:
            lines.write(f"{count} {dimension}\n")
            lines.writelines(
                f"{words[word_id] if word_id < len(words) else f'otra{word_id}'} {texts[word_id % len(texts)]}\n"
                for word_id in range(count)
            )
        unfinished.rename(file)
    return file


def epoch(setup: str, network: str, space: Workspace) -> Measurements:
    """Train a network for one epoch."""
    space.require(setup, "prepare", "reduce", "embed")
    yield f"train_{network}", lambda: [space.stage(f"train_{network}", setup)]


def sigmoid(space: Workspace) -> Measurements:
    """Train the plain CNN for one epoch with sigmoid; the row `cnn` is the same with relu."""
    space.require("plain", "prepare", "reduce", "embed")
    model = space.paths("train_cnn", "plain")[-1]
    paths = [*space.paths("train_cnn", "plain")[:-1], model.parent / "sigmoid" / model.name]
    yield "train_cnn, sigmoid", lambda: [space.stage("train_cnn", "plain", {"model": {"activation": "sigmoid"}}, paths)]


def evaluation(setup: str, space: Workspace) -> Measurements:
    """Evaluate both networks, then each network twice in one stage, which gives its own titles a second."""
    space.require(setup, "prepare", "reduce", "embed", "train_mlp", "train_cnn")
    yield "evaluate", lambda: [space.stage("evaluate", setup)]
    for network in ("mlp", "cnn"):
        yield f"evaluate_{network}", lambda network=network: [space.evaluate_twice(setup, network)]


def profile(setup: str, network: str, space: Workspace) -> Measurements:
    """Profile the training steps: a line per kind of work."""
    space.require(setup, "prepare", "reduce", "embed")

    def measure() -> list[Line]:
        with tempfile.TemporaryDirectory() as models:
            paths = [*space.paths(f"train_{network}", setup)[:-1], Path(models) / network]
            module = ("benchmarks.watched", "--profile", f"train_{network}", *paths)
            _, printed = space.python(SETUPS[setup], *module)
        return [{"setup": setup} | json.loads(line) for line in re.findall(r"^{.*}$", printed, re.MULTILINE)]

    yield f"train_{network}", measure


def processes(space: Workspace) -> Measurements:
    """Train with one process of one thread, and with two of them through torchrun."""
    space.require("plain", "prepare", "reduce", "embed")
    for world_size in (1, 2):
        yield f"{world_size} of one thread", lambda world_size=world_size: [train_in_processes(space, world_size)]


def train_in_processes(space: Workspace, world_size: int) -> Line:
    """Train the plain MLP for one epoch in `world_size` processes."""
    shutil.rmtree(space.paths("train_mlp", "plain")[-1].parent / ".checkpoints", ignore_errors=True)
    launcher = ("torch.distributed.run", "--nproc-per-node", world_size, "-m", "benchmarks.watched", "train_mlp")
    changes = {**SETUPS["plain"], "train": SETUPS["plain"]["train"] | {"threads": 1}}
    return space.line("train_mlp", "plain", *space.python(changes, *launcher, *space.paths("train_mlp", "plain")))


def pipeline(space: Workspace) -> Measurements:
    """Run all stages with DVC in a separate checkout: three epochs of the plain MLP and two of the plain CNN."""
    inner = Workspace(space.folder / "checkout", space.folder, space.rows)
    for name, (epochs, targets) in PIPELINE.items():
        yield name, lambda epochs=epochs, targets=targets: [reproduce(inner, space.catalogue(), epochs, targets)]


def reproduce(inner: Workspace, catalogue: Path, epochs: int, targets: list[str]) -> Line:
    """Measure `dvc repro --force` of some stages; the outputs of earlier stages exist."""
    clone(inner.checkout)
    shutil.rmtree(inner.checkout / "models" / ".checkpoints", ignore_errors=True)
    raw = inner.checkout / "data" / "big" / catalogue.name
    if not raw.exists():
        raw.parent.mkdir()
        os.link(catalogue, raw)
    train = SETUPS["plain"]["train"] | {"epochs": epochs}
    changes = SETUPS["plain"] | {"train": train, "data": {"raw": "data/big"}}
    cost, _ = inner.python(changes, "dvc", "repro", "--force", *targets)
    metrics = json.loads((inner.checkout / "results" / "metrics.json").read_text(encoding="utf-8"))
    accuracies = {f"{name}_balanced_accuracy": of_model["balanced_accuracy"] for name, of_model in metrics.items()}
    return {"setup": "plain", "titles": inner.rows, **cost, **(accuracies if "evaluate" in targets else {})}


ROWS: dict[str, Callable[[Workspace], Measurements]] = {
    "data": data,
    "vectors": vectors,
    "sigmoid": sigmoid,
    "fasttext": fasttext,
    "processes": processes,
    "predict": prediction,
    "pipeline": pipeline,
    "evaluate": partial(evaluation, "plain"),
    "defaults-evaluate": partial(evaluation, "defaults"),
}
for _network in ("mlp", "cnn"):
    ROWS[_network] = partial(epoch, "plain", _network)
    ROWS[f"defaults-{_network}"] = partial(epoch, "defaults", _network)
    ROWS[f"profile-{_network}"] = partial(profile, "plain", _network)
    ROWS[f"profile-defaults-{_network}"] = partial(profile, "defaults", _network)
