"""models/NAME: a network one can use without the data it came from.

network.json         how it was built and trained, of which epoch it is, how it wants titles cleaned, its thresholds
vocabulary.json         its words and categories
weights.safetensors  its weights, and its calibration
history.csv          how it was trained, a row an epoch
README.md            its card
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from titles.core.errors import InputError
from titles.data.encoded_dataset import Vocabulary
from titles.nn.hparams import CnnParams, MlpParams, ModelParams
from titles.nn.networks import CNN, MLP, Network
from titles.nn.word_embedding import Sizes
from titles.text.normalization import RULES

NETWORKS: dict[str, tuple[Callable[..., Network], Callable[..., MlpParams | CnnParams]]] = {
    "mlp": (MLP, MlpParams),
    "cnn": (CNN, CnnParams),
}


def load(folder: Path, mmap: bool = True) -> tuple[Network, Vocabulary]:
    """Load the network of a model folder, and its lexicon.

    With `mmap`, weights are read from the file as they are used, so the file must not be overwritten meanwhile. Without
    it they are copied to memory. Raises InputError where the folder is damaged, or needs titles cleaned in another way
    than this version does.
    """
    try:
        network, lexicon = _read(folder, mmap)
    except InputError:
        raise
    except (OSError, ValueError, LookupError, AttributeError, TypeError, RuntimeError, SafetensorError) as error:
        what = str(error).partition("\n")[0]
        raise InputError(f"{folder} is not a whole model folder ({what}); train it again or fetch it anew") from error
    return network, lexicon


def training_objective(folders: Iterable[Path]) -> str:
    """What the decisions of these model folders are to be best at: of all together what the first was trained for."""
    description = json.loads((next(iter(folders)) / "network.json").read_text(encoding="utf-8"))
    return str(description["train"]["objective"])


def _read(folder: Path, mmap: bool) -> tuple[Network, Vocabulary]:
    description = json.loads((folder / "network.json").read_text(encoding="utf-8"))
    if description.get("cleaning") != RULES:
        raise InputError(f"{folder} is of a version that cleans titles in another way; train it again")
    lexicon, sizes = Vocabulary.load(folder), Sizes(**description["sizes"])
    if (len(lexicon.words), lexicon.num_trained_categories) != (sizes.vocabulary, sizes.categories):
        raise ValueError("vocabulary.json is of another network")
    network, own = NETWORKS[description["network"]]
    with torch.device("meta"):
        built = network(sizes, ModelParams(**description["model"]), own(**description["own"]))
    weights = load_file(folder / "weights.safetensors", backend="mmap" if mmap else "pread")
    built.load_state_dict(weights, assign=True)
    built.word_vectors.precomputed = True
    return built, lexicon
