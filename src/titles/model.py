"""models/NAME: a network one can use without the data it came from.

network.json         how it was built, and of which epoch it is
lexicon.json         its words and categories
weights.safetensors  its weights
history.csv          how it was trained, a row an epoch
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from titles.checkpoint import CHECKPOINTS, Checkpoint, fingerprint
from titles.embedded import Labelled, Lexicon
from titles.errors import InputError
from titles.history import Epoch, write_history
from titles.hyperparameters import CnnParams, MlpParams, ModelParams, TrainParams
from titles.memory import keep_freed_memory
from titles.networks import CNN, MLP, Network
from titles.outputs import fresh
from titles.ragged import Ragged
from titles.training import set_determinism, train
from titles.vectors import Sizes

NETWORKS = {"mlp": (MLP, MlpParams), "cnn": (CNN, CnnParams)}


def fit(
    name: str,
    embedded: Path,
    vectors: Path,
    folder: Path,
    model: ModelParams,
    own: MlpParams | CnnParams,
    params: TrainParams,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> list[Epoch]:
    """Builds the network `name` for the titles of `embedded`, trains it, writes its model folder.

    Goes on from the checkpoint that the same training left, if it was killed, in `.checkpoints` beside `folder`.
    """
    keep_freed_memory()
    set_determinism(params)
    lexicon = Lexicon.load(embedded)
    start = np.load(vectors)
    buckets = lexicon.subword_buckets if lexicon.subword_lengths else 0
    pairs = torch.from_numpy(np.load(embedded / "pairs.npy"))
    dimension = start.shape[1]
    if dimension % model.members:
        raise InputError(f"embed.dimension is {dimension}, which model.members, {model.members}, does not divide")
    sizes = Sizes(len(lexicon.vocabulary), buckets, len(pairs), dimension, lexicon.trained_categories)
    network = NETWORKS[name][0](sizes, model, own)
    if isinstance(network, MLP):
        network.pair_vectors.keys.copy_(pairs)
    if len(start):
        network.word_vectors.start_from(start)
    fresh(folder)
    shutil.copyfile(embedded / "lexicon.json", folder / "lexicon.json")
    training, validation = (Labelled.load(embedded, split) for split in ("train", "validation"))
    deciding = fingerprint([vectors, *embedded.iterdir()], name, model, own, params)
    checkpoint = Checkpoint(folder.parent / CHECKPOINTS / folder.name / deciding)
    epochs, best = train(network, training, validation, Ragged.load(embedded, "spelling"), params, checkpoint, on_epoch)
    save_file(network.state_dict(), folder / "weights.safetensors")
    write_history(epochs, folder / "history.csv")
    built = {"sizes": asdict(sizes), "model": asdict(model), "own": asdict(own)}
    description = {"network": name, "epoch": best, **built}
    (folder / "network.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    checkpoint.remove()
    return epochs


def load(folder: Path) -> tuple[Network, Lexicon]:
    """The network of a model folder, with its weights, and its lexicon."""
    description = json.loads((folder / "network.json").read_text(encoding="utf-8"))
    network, own = NETWORKS[description["network"]]
    built = network(Sizes(**description["sizes"]), ModelParams(**description["model"]), own(**description["own"]))
    built.load_state_dict(load_file(folder / "weights.safetensors"))
    return built, Lexicon.load(folder)
