"""The models that the benchmarks compare: peers and the networks of this project."""

import tempfile
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.peer_models import (
    Predict,
    character_svm,
    fit_fasttext,
    fit_pipeline,
    load_fasttext,
    load_pipeline,
    naive_bayes,
    word_svm,
)
from titles.core.config import load_params

PARAMS = Path("params.yaml")
WORD_VECTORS = Path("data/word_vectors")
WORD_SVM, CHARACTER_SVM = "words, linear SVM", "words and characters, linear SVM"

Settings = dict[str, Any]
# Changed values by section of params.yaml.
Changes = dict[str, Settings]


@dataclass(frozen=True)
class Peer:
    """An established model that the networks are compared with.

    `fit` takes rows, the folder to save to, and settings. `load` takes that folder and returns a function that predicts
    from raw titles. `best` are the default settings, `choices` the grid of values of each setting.
    """

    fit: Callable[..., None]
    load: Callable[[Path], Predict]
    best: Settings
    choices: dict[str, list[Any]]

    def candidates(self, varied: Container[str] | None = None) -> Iterator[Settings]:
        """Yield the grid over the settings in `varied`, or over all settings; the other settings are as in `best`."""
        names = self.choices if varied is None else varied
        grid = [values if name in names else [self.best[name]] for name, values in self.choices.items()]
        return (dict(zip(self.choices, values, strict=True)) for values in product(*grid))


PEERS = {
    "naive Bayes": Peer(
        partial(fit_pipeline, naive_bayes),
        load_pipeline,
        {"alpha": 0.3, "fit_prior": False},
        {"alpha": [0.03, 0.1, 0.3], "fit_prior": [False, True]},
    ),
    "fastText": Peer(
        fit_fasttext,
        load_fasttext,
        {"epoch": 50, "lr": 0.5, "wordNgrams": 1, "subwords": (0, 0)},
        {"epoch": [25, 50], "lr": [0.5], "wordNgrams": [1, 2], "subwords": [(0, 0), (2, 5)]},
    ),
    WORD_SVM: Peer(
        partial(fit_pipeline, word_svm),
        load_pipeline,
        {"C": 1, "class_weight": None},
        {"C": [0.3, 1, 3], "class_weight": [None, "balanced"]},
    ),
    CHARACTER_SVM: Peer(
        partial(fit_pipeline, character_svm),
        load_pipeline,
        {"C": 1, "analyzer": "char_wb", "class_weight": None},
        {"C": [0.3, 1, 3], "analyzer": ["char", "char_wb"], "class_weight": [None, "balanced"]},
    ),
}
NETWORKS = ("mlp", "cnn")
MODELS = (*PEERS, *NETWORKS, "mean")


def merge_changes(*changes: Changes) -> Changes:
    """Merge several changes to params.yaml; later ones take precedence."""
    merged: Changes = {}
    for change in changes:
        for section, values in change.items():
            merged[section] = merged.get(section, {}) | values
    return merged


def fit_network(name: str, work: Path, folder: Path, seed: int, changes: Changes | None = None) -> None:
    """Run the stages embed and train with the settings of params.yaml and changes to its sections."""
    from titles.nn.hparams import CnnParams, MlpParams, ModelParams, TrainParams
    from titles.preprocessing.encode import EmbedParams, embed
    from titles.training.fit import fit

    sections = {"embed": EmbedParams, "model": ModelParams, "mlp": MlpParams, "cnn": CnnParams, "train": TrainParams}
    params: Settings = load_params(PARAMS, sections)
    params["train"] = replace(params["train"], seed=seed)
    params |= {section: replace(params[section], **values) for section, values in (changes or {}).items()}
    with tempfile.TemporaryDirectory() as scratch:
        embedded, vectors = Path(scratch) / "embedded", Path(scratch) / "vectors.npy"
        embed(work / "prepared", work / "reduced", WORD_VECTORS, embedded, vectors, params["embed"])
        fit(name, embedded, vectors, folder, params["model"], params[name], params["train"])


def load(name: str, models: Path) -> Predict:
    """Load the model `name` from `models` as a function of raw titles; `mean` is the mean of all networks there."""
    if name in PEERS:
        return PEERS[name].load(models / name)
    from titles.inference.classifier import Classifier

    classifier = Classifier.load(models if name == "mean" else models / name)
    return lambda titles: classifier.predict(titles).category.tolist()
