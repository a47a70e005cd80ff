"""The rows `benchmarks.scale` can measure, each in parts."""

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
from benchmarks.workspace import SETUPS, Line, Parts, Workspace, clone
from titles.data.encoded_dataset import Vocabulary

# The parts of the whole pipeline: epochs, and what DVC reproduces.
PIPELINE: dict[str, tuple[int, list[str]]] = {
    "dvc repro embed": (1, ["embed"]),
    "dvc repro train_mlp": (3, ["-s", "train_mlp"]),
    "dvc repro train_cnn": (2, ["-s", "train_cnn"]),
    "dvc repro evaluate": (2, ["-s", "evaluate"]),
}

# The words of the Spanish Billion Words' vectors, and the numbers in each.
VECTORS = (1_000_653, 300)


def data(space: Workspace) -> Parts:
    """The stages of text, as params.yaml has them, but of all titles."""
    space.catalogue()
    for stage in ("prepare", "reduce", "embed"):
        yield stage, lambda stage=stage: [space.stage(stage, "defaults")]


def vectors(space: Workspace) -> Parts:
    """embed with a file of vectors to start from, as large as that of the Spanish Billion Words."""
    space.need("defaults", "prepare", "reduce", "embed")
    prepared, reduced, folder, *written = space.paths("embed", "defaults")
    changes = {"embed": {"word_vectors": write_vectors(space, folder).name, "dimension": VECTORS[1]}}
    own = [space.folder / "vectors" / path.name for path in written]
    yield "embed, with vectors", lambda: [space.stage("embed", "defaults", changes, [prepared, reduced, folder, *own])]


def write_vectors(space: Workspace, folder: Path) -> Path:
    """The file, whose words are the catalogue's and as many others as it takes; a vector has many of them."""
    (count, dimension), file = VECTORS, folder / "vectors.txt"
    if not file.exists():
        folder.mkdir(exist_ok=True)
        words = Vocabulary.load(space.paths("embed", "defaults")[3]).words
        numbers = np.random.default_rng(0).normal(size=(100, dimension))
        texts = [" ".join(f"{number:.6f}" for number in vector) for vector in numbers]
        with (part := folder / "unfinished.txt").open("w", encoding="utf-8") as lines:
            lines.write(f"{count} {dimension}\n")
            lines.writelines(
                f"{words[number] if number < len(words) else f'otra{number}'} {texts[number % len(texts)]}\n"
                for number in range(count)
            )
        part.rename(file)
    return file


def epoch(setup: str, network: str, space: Workspace) -> Parts:
    """One epoch of a network."""
    space.need(setup, "prepare", "reduce", "embed")
    yield f"train_{network}", lambda: [space.stage(f"train_{network}", setup)]


def sigmoid(space: Workspace) -> Parts:
    """One epoch of the plain CNN with the other of the notebooks' activations; the row `cnn` is that with relu."""
    space.need("plain", "prepare", "reduce", "embed")
    model = space.paths("train_cnn", "plain")[-1]
    paths = [*space.paths("train_cnn", "plain")[:-1], model.parent / "sigmoid" / model.name]
    yield "train_cnn, sigmoid", lambda: [space.stage("train_cnn", "plain", {"model": {"activation": "sigmoid"}}, paths)]


def evaluation(setup: str, space: Workspace) -> Parts:
    """Both networks; and each alone, which stands in both places: its titles a second are those of two passes."""
    space.need(setup, "prepare", "reduce", "embed", "train_mlp", "train_cnn")
    yield "evaluate", lambda: [space.stage("evaluate", setup)]
    for network in ("mlp", "cnn"):
        yield f"evaluate_{network}", lambda network=network: [space.evaluate_twice(setup, network)]


def profile(setup: str, network: str, space: Workspace) -> Parts:
    """What a step spends its time on, a line a kind of work."""
    space.need(setup, "prepare", "reduce", "embed")

    def measure() -> list[Line]:
        with tempfile.TemporaryDirectory() as models:
            paths = [*space.paths(f"train_{network}", setup)[:-1], Path(models) / network]
            watched = ("benchmarks.watched", "--profile", f"train_{network}", *paths)
            _, printed = space.python(SETUPS[setup], *watched)
        return [{"setup": setup} | json.loads(line) for line in re.findall(r"^{.*}$", printed, re.MULTILINE)]

    yield f"train_{network}", measure


def processes(space: Workspace) -> Parts:
    """One process with one thread, and two of them through torchrun."""
    space.need("plain", "prepare", "reduce", "embed")
    for number in (1, 2):
        yield f"{number} of one thread", lambda number=number: [in_processes(space, number)]


def in_processes(space: Workspace, number: int) -> Line:
    """The plain MLP for an epoch, in that many processes."""
    shutil.rmtree(space.paths("train_mlp", "plain")[-1].parent / ".checkpoints", ignore_errors=True)
    launcher = ("torch.distributed.run", "--nproc-per-node", number, "-m", "benchmarks.watched", "train_mlp")
    changes = {**SETUPS["plain"], "train": SETUPS["plain"]["train"] | {"threads": 1}}
    return space.line("train_mlp", "plain", *space.python(changes, *launcher, *space.paths("train_mlp", "plain")))


def pipeline(space: Workspace) -> Parts:
    """By DVC, in a checkout of its own: three epochs of the plain MLP, two of the plain CNN, and all around them."""
    inner = Workspace(space.folder / "checkout", space.folder, space.rows)
    for part, (epochs, command) in PIPELINE.items():
        yield part, lambda epochs=epochs, command=command: [reproduced(inner, space.catalogue(), epochs, command)]


def reproduced(inner: Workspace, catalogue: Path, epochs: int, command: list[str]) -> Line:
    """A part of the pipeline, from its start; the parts before it are there."""
    clone(inner.checkout)
    shutil.rmtree(inner.checkout / "models" / ".checkpoints", ignore_errors=True)
    raw = inner.checkout / "data" / "big" / catalogue.name
    if not raw.exists():
        raw.parent.mkdir()
        os.link(catalogue, raw)
    train = SETUPS["plain"]["train"] | {"epochs": epochs}
    changes = SETUPS["plain"] | {"train": train, "data": {"raw": "data/big"}}
    cost, _ = inner.python(changes, "dvc", "repro", "--force", *command)
    metrics = json.loads((inner.checkout / "results" / "metrics.json").read_text(encoding="utf-8"))
    accuracies = {f"{name}_balanced_accuracy": found["balanced_accuracy"] for name, found in metrics.items()}
    return {"setup": "plain", "titles": inner.rows, **cost, **(accuracies if "evaluate" in command else {})}


ROWS: dict[str, Callable[[Workspace], Parts]] = {
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
