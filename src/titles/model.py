"""models/NAME: a network one can use without the data it came from.

network.json         how it was built and trained, of which epoch it is, how it wants titles cleaned, its thresholds
lexicon.json         its words and categories
weights.safetensors  its weights, and its temperature
history.csv          how it was trained, a row an epoch
README.md            its card
"""

import json
import logging
import platform
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from titles import __version__, processes
from titles.card import write_card
from titles.checkpoint import CHECKPOINTS, Checkpoint, fingerprint
from titles.cleaning import RULES
from titles.device import chosen_device
from titles.embedded import Labelled, Lexicon
from titles.errors import InputError
from titles.history import Epoch, Point, write_history
from titles.hyperparameters import CnnParams, MlpParams, ModelParams, TrainParams
from titles.memory import keep_freed_memory
from titles.networks import CNN, MLP, Network
from titles.outputs import whole
from titles.ragged import Ragged
from titles.steps import set_determinism
from titles.training import train
from titles.validation import calibrate
from titles.vectors import Sizes

log = logging.getLogger(__name__)

NETWORKS = {"mlp": (MLP, MlpParams), "cnn": (CNN, CnnParams)}


def fit(
    name: str,
    embedded: Path,
    vectors: Path,
    folder: Path,
    model: ModelParams,
    own: MlpParams | CnnParams,
    params: TrainParams,
    report: Callable[[Epoch | Point], None] = lambda _: None,
) -> list[Epoch]:
    """Builds the network `name` for the titles of `embedded`, trains it, writes its model folder.

    Goes on from the checkpoint that the same training left, if it was killed, in `.checkpoints` beside `folder`. Of
    several processes the first alone writes.
    """
    keep_freed_memory()
    device = chosen_device()
    set_determinism(params, device)
    lexicon = Lexicon.load(embedded)
    network, sizes = _build(name, lexicon, embedded, vectors, model, own)
    training, validation = (Labelled.load(embedded, split) for split in ("train", "validation"))
    kind = torch.cuda.get_device_name() if device.type == "cuda" else device.type
    deciding = [name, model, own, params, kind, processes.count()]
    inputs = fingerprint([vectors, *embedded.iterdir()], *deciding)
    checkpoint = Checkpoint(folder.parent / CHECKPOINTS / folder.name / inputs)
    processes.join(device)
    spelling = Ragged.load(embedded, "spelling")
    epochs, best = train(network.to(device), training, validation, spelling, params, checkpoint, report)
    if processes.rank() == 0:
        calibrated = calibrate(network, validation, spelling)
        log.info("temperature %.3f", network.temperature)
        built = {"sizes": asdict(sizes), "model": asdict(model), "own": asdict(own), "train": asdict(params)}
        kept = {"cleaning": RULES, "thresholds": [asdict(one) for one in calibrated], "versions": _versions()}
        description = {"network": name, "epoch": best, **built, **kept}
        network.word_vectors.finish(spelling)
        with whole(folder) as unfinished:
            shutil.copyfile(embedded / "lexicon.json", unfinished / "lexicon.json")
            save_file(network.state_dict(), unfinished / "weights.safetensors")
            write_history(epochs, unfinished / "history.csv")
            # safetensors lets nobody else read what it writes.
            shutil.copymode(unfinished / "history.csv", unfinished / "weights.safetensors")
            content = json.dumps(description, indent=2, ensure_ascii=False)
            (unfinished / "network.json").write_text(content + "\n", encoding="utf-8")
            write_card(unfinished, embedded, epochs[best - 1])
        checkpoint.remove()
    return epochs


def _build(
    name: str, lexicon: Lexicon, embedded: Path, vectors: Path, model: ModelParams, own: MlpParams | CnnParams
) -> tuple[Network, Sizes]:
    """The network as training finds it."""
    start, pairs = np.load(vectors), torch.from_numpy(np.load(embedded / "pairs.npy"))
    dimension = start.shape[1]
    if dimension % model.members:
        raise InputError(f"embed.dimension is {dimension}, which model.members, {model.members}, does not divide")
    buckets = lexicon.subword_buckets if lexicon.subword_lengths else 0
    sizes = Sizes(len(lexicon.vocabulary), buckets, len(pairs), dimension, lexicon.trained_categories)
    network = NETWORKS[name][0](sizes, model, own)
    if isinstance(network, MLP):
        network.pair_vectors.keys.copy_(pairs)
    if len(start):
        network.word_vectors.start_from(start)
    return network, sizes


def _versions() -> dict[str, str]:
    versions = {"titles": __version__, "torch": torch.__version__, "numpy": np.__version__}
    return versions | {"python": platform.python_version()}


def load(folder: Path) -> tuple[Network, Lexicon]:
    """The network of a model folder, with its weights, which are read when touched, and its lexicon.

    Raises InputError where it is damaged, or needs titles cleaned in another way than this version does.
    """
    try:
        network, lexicon = _read(folder)
    except (OSError, ValueError, LookupError, TypeError, RuntimeError, SafetensorError) as error:
        what = str(error).partition("\n")[0]
        raise InputError(f"{folder} is not a whole model folder ({what}); train it again or fetch it anew") from error
    return network, lexicon


def _read(folder: Path) -> tuple[Network, Lexicon]:
    description = json.loads((folder / "network.json").read_text(encoding="utf-8"))
    if description.get("cleaning") != RULES:
        raise InputError(f"{folder} is of a version that cleans titles in another way; train it again")
    lexicon, sizes = Lexicon.load(folder), Sizes(**description["sizes"])
    if (len(lexicon.vocabulary), lexicon.trained_categories) != (sizes.vocabulary, sizes.categories):
        raise ValueError("lexicon.json is of another network")
    network, own = NETWORKS[description["network"]]
    with torch.device("meta"):
        built = network(sizes, ModelParams(**description["model"]), own(**description["own"]))
    built.load_state_dict(load_file(folder / "weights.safetensors"), assign=True)
    built.word_vectors.finished = True
    return built, lexicon
