"""The model folder, models/NAME: a trained network that can be used without its training data.

network.json         its parameters and sizes, the epoch of its weights, the rules of normalization, the thresholds
vocabulary.json      its words and categories
weights.safetensors  its weights, and its calibration
history.csv          the metrics of its training, one row per epoch
README.md            its model card
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from titles.core.errors import InputError
from titles.data.encoded_dataset import Vocabulary
from titles.nn.hparams import CnnParams, MlpParams, ModelParams, NetworkParams
from titles.nn.networks import CNN, MLP, Network
from titles.nn.word_embedding import Sizes
from titles.text.normalization import RULES

NETWORKS: dict[str, tuple[Callable[..., Network], Callable[..., NetworkParams]]] = {
    "mlp": (MLP, MlpParams),
    "cnn": (CNN, CnnParams),
}


def load(folder: Path, mmap: bool = True) -> tuple[Network, Vocabulary]:
    """Load the network and the vocabulary of a model folder.

    With `mmap`, the weights are read from the file when they are used, so the file must not be overwritten meanwhile.
    Without it they are copied to memory. Raise InputError if the folder is damaged, was written by an earlier version,
    or was trained with other rules of normalization than those of this version.
    """
    try:
        network, vocabulary = _load(folder, mmap)
    except InputError:
        raise
    except (OSError, ValueError, LookupError, AttributeError, TypeError, RuntimeError, SafetensorError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{folder} is not a complete model folder ({reason}); train it again or fetch it anew"
        ) from error
    return network, vocabulary


def training_objective(folders: Iterable[Path]) -> str:
    """Return the objective that the first of these model folders was trained for. An ensemble uses it for all."""
    description = json.loads((next(iter(folders)) / "network.json").read_text(encoding="utf-8"))
    return str(description["train"]["objective"])


def _load(folder: Path, mmap: bool) -> tuple[Network, Vocabulary]:
    description = json.loads((folder / "network.json").read_text(encoding="utf-8"))
    rules = description.get("normalization")
    # Version 1.0 stored the rules under another name.
    if rules is None:
        raise InputError(f"{folder} was written by an earlier version of titles; train it again or fetch it anew")
    if rules != RULES:
        raise InputError(f"{folder} is of a version that normalizes titles in another way; train it again")
    vocabulary, sizes = Vocabulary.load(folder), Sizes(**description["sizes"])
    if (len(vocabulary.words), vocabulary.num_trained_categories) != (sizes.vocabulary, sizes.categories):
        raise ValueError("vocabulary.json is of another network")
    network_class, params_class = NETWORKS[description["network"]]
    network_params = params_class(**description["network_params"])
    with torch.device("meta"):
        network = network_class(sizes, ModelParams(**description["model"]), network_params)
    weights = load_file(folder / "weights.safetensors", backend="mmap" if mmap else "pread")
    network.load_state_dict(weights, assign=True)
    network.word_vectors.precomputed = True
    return network, vocabulary
