"""`fit`: build a network, train it on the arrays of data/embedded, calibrate it and write its model folder."""

import json
import logging
import platform
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from titles import __version__
from titles.core.atomic_directory import atomic_directory, require_output
from titles.core.errors import InputError
from titles.core.memory import raise_malloc_thresholds
from titles.data.encoded_dataset import LabelledDataset, Vocabulary, required_files
from titles.data.ragged import Ragged
from titles.metrics.history import EpochMetrics, StepMetrics, write_history
from titles.nn import distributed
from titles.nn.device import chosen_device
from titles.nn.hparams import ModelParams, NetworkParams, TrainParams
from titles.nn.networks import MLP, Network
from titles.nn.word_embedding import Sizes
from titles.persistence.model_card import write_card
from titles.persistence.model_folder import NETWORKS
from titles.text.normalization import RULES
from titles.training.checkpoint import CHECKPOINTS, Checkpoint
from titles.training.fingerprint import describe
from titles.training.suspect_search import CROSS_VALIDATION_PARAMS, Suspects, SuspectSearch
from titles.training.train_step import set_determinism
from titles.training.trainer import train
from titles.training.validation import calibrate, fit_thresholds

log = logging.getLogger(__name__)


def fit(
    name: str,
    embedded: Path,
    vectors: Path,
    folder: Path,
    model: ModelParams,
    network_params: NetworkParams,
    params: TrainParams,
    report: Callable[[EpochMetrics | StepMetrics], None] = lambda _: None,
) -> list[EpochMetrics]:
    """Train the network `name` on the titles of `embedded`, write its model folder, and return the history.

    If the same training was stopped or killed before, resume from its checkpoint in `.checkpoints` beside `folder`. In
    distributed training only rank 0 writes. Raise InputError if `model.ensemble_size` does not divide the dimension.
    """
    raise_malloc_thresholds()
    device, data = chosen_device(), _Data.load(embedded, vectors)
    setup = _Setup(data, _sizes(data, model), model, params, device)
    inputs = [vectors, *required_files(embedded, "train", "validation")]

    def open_checkpoint(subfolder: str, **settings: object) -> Checkpoint:
        description = describe(inputs, setup.fingerprint_settings() | settings)
        return Checkpoint.for_training(folder.parent / CHECKPOINTS / subfolder, description)

    checkpoint = open_checkpoint(folder.name, **{"network": name, name: network_params})
    distributed.init_process_group(device)
    suspects: Suspects = np.zeros(len(data.training), bool), np.zeros(len(data.validation), bool)
    if params.drop_suspect_labels:
        suspects = _find_suspects(setup, open_checkpoint("suspects"))
    training, calibration = map(_without, (data.training, data.validation), suspects)
    network = setup.build(name, network_params)
    epochs, best = train(network, training, data.validation, data.subword_ids, params, checkpoint, report)
    if distributed.rank() == 0:
        learned = {"epoch": best, "suspect_labels": int(suspects[0].sum())}
        description = {"network": name, **learned, **_describe(setup, network_params)}
        description["thresholds"] = _calibrate(network, setup, calibration)
        network.word_vectors.precompute(data.subword_ids)
        _write(folder, embedded, network, description | {"versions": _versions()}, epochs)
        checkpoint.remove()
    return epochs


@dataclass(frozen=True)
class _Data:
    """What `embed` wrote.

    pretrained  float32 [words, dimension], the initial word vectors; [0, dimension] if there are none
    bigrams     int64 [bigrams], the keys of the bigrams that have a vector
    """

    vocabulary: Vocabulary
    pretrained: NDArray[np.float32]
    bigrams: NDArray[np.int64]
    subword_ids: Ragged
    training: LabelledDataset
    validation: LabelledDataset

    @classmethod
    def load(cls, embedded: Path, vectors: Path) -> "_Data":
        vocabulary = Vocabulary.load(embedded)
        pretrained, bigrams = np.load(require_output(vectors, "embed")), np.load(embedded / "bigrams.npy")
        training, validation = (LabelledDataset.load(embedded, split) for split in ("train", "validation"))
        return cls(vocabulary, pretrained, bigrams, Ragged.load(embedded, "subword_ids"), training, validation)


@dataclass(frozen=True)
class _Setup:
    """The data, settings and device that all networks of one training share."""

    data: _Data
    sizes: Sizes
    model: ModelParams
    params: TrainParams
    device: torch.device

    def build(self, name: str, network_params: NetworkParams) -> Network:
        """Seed torch with `train.seed` and build a network with its initial weights, on the device."""
        set_determinism(self.params, self.device)
        network: Network = NETWORKS[name][0](self.sizes, self.model, network_params)
        if isinstance(network, MLP):
            network.pair_vectors.keys.copy_(torch.from_numpy(self.data.bigrams))
        if len(self.data.pretrained):
            network.word_vectors.load_pretrained(self.data.pretrained)
        network.to(self.device)
        return network

    def fingerprint_settings(self) -> dict[str, object]:
        device = torch.cuda.get_device_name() if self.device.type == "cuda" else self.device.type
        return {"model": self.model, "train": self.params, "device": device, "processes": distributed.world_size()}


def _sizes(data: _Data, model: ModelParams) -> Sizes:
    vocabulary, dimension = data.vocabulary, data.pretrained.shape[1]
    if dimension % model.ensemble_size:
        raise InputError(
            f"embed.dimension is {dimension}, which model.ensemble_size, {model.ensemble_size}, does not divide"
        )
    buckets = vocabulary.subword_buckets if vocabulary.subword_lengths else 0
    return Sizes(len(vocabulary.words), buckets, len(data.bigrams), dimension, vocabulary.num_trained_categories)


def _find_suspects(setup: _Setup, checkpoint: Checkpoint) -> Suspects:
    """Load the suspect labels from the checkpoint, or search for them and save them there."""
    data = setup.data
    if (suspects := checkpoint.load_suspects()) is None:
        build = partial(setup.build, "mlp", CROSS_VALIDATION_PARAMS)
        log_shares = torch.from_numpy(data.vocabulary.log_shares)
        search = SuspectSearch(build, checkpoint.for_search, data.subword_ids, log_shares, setup.params)
        suspects = search.find(data.training, data.validation)
        checkpoint.save_suspects(suspects)
    if suspects[0].any():
        log.info("training without %s titles with suspect labels", f"{suspects[0].sum():,}")
    return suspects


def _without(titles: LabelledDataset, suspects: NDArray[np.bool_]) -> LabelledDataset:
    """The titles without suspect labels. If there are no suspects, they stay memory-mapped."""
    return titles.take(np.flatnonzero(~suspects)) if suspects.any() else titles


def _calibrate(network: Network, setup: _Setup, calibration: LabelledDataset) -> list[dict[str, Any]]:
    """Calibrate the network on the validation titles without suspect labels; return its score thresholds."""
    data = setup.data
    calibrate(network, calibration, data.subword_ids, data.vocabulary)
    # On all validation titles, because users will meet titles with suspect labels among the mistakes.
    thresholds = fit_thresholds(network, data.validation, data.subword_ids, data.vocabulary, setup.params.objective)
    return [asdict(threshold) for threshold in thresholds]


def _describe(setup: _Setup, network_params: NetworkParams) -> dict[str, Any]:
    """The entries of network.json from which the network is built again."""
    built = {"sizes": asdict(setup.sizes), "model": asdict(setup.model), "network_params": asdict(network_params)}
    return {**built, "train": asdict(setup.params), "normalization": RULES}


def _write(
    folder: Path, embedded: Path, network: Network, description: dict[str, Any], epochs: list[EpochMetrics]
) -> None:
    """Write the model folder of a network with precomputed word vectors."""
    with atomic_directory(folder) as unfinished:
        shutil.copyfile(embedded / "vocabulary.json", unfinished / "vocabulary.json")
        save_file(network.state_dict(), unfinished / "weights.safetensors")
        write_history(epochs, unfinished / "history.csv")
        # safetensors makes its files readable by their owner only.
        shutil.copymode(unfinished / "history.csv", unfinished / "weights.safetensors")
        content = json.dumps(description, indent=2, ensure_ascii=False)
        (unfinished / "network.json").write_text(content + "\n", encoding="utf-8")
        best = next(epoch for epoch in epochs if epoch.epoch == description["epoch"])
        write_card(unfinished, embedded, best)


def _versions() -> dict[str, str]:
    versions = {"titles": __version__, "torch": torch.__version__, "numpy": np.__version__}
    return versions | {"python": platform.python_version()}
