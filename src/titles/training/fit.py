"""From the arrays of data/embedded to a model folder: builds a network, trains, calibrates and saves it."""

import json
import logging
import platform
import shutil
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
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
from titles.nn.hparams import CnnParams, MlpParams, ModelParams, TrainParams
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
    network_params: MlpParams | CnnParams,
    params: TrainParams,
    report: Callable[[EpochMetrics | StepMetrics], None] = lambda _: None,
) -> list[EpochMetrics]:
    """Builds the network `name` for the titles of `embedded`, trains it, writes its model folder.

    Goes on from the checkpoint that the same training left, if it was killed, in `.checkpoints` beside `folder`. Of
    several processes the first alone writes.
    """
    raise_malloc_thresholds()
    device = chosen_device()
    lexicon = Vocabulary.load(embedded)
    start, pairs = np.load(require_output(vectors, "embed")), np.load(embedded / "bigrams.npy")
    sizes = _sizes(lexicon, len(pairs), start.shape[1], model)
    training, validation = (LabelledDataset.load(embedded, split) for split in ("train", "validation"))
    kind = torch.cuda.get_device_name() if device.type == "cuda" else device.type

    inputs = [vectors, *required_files(embedded, "train", "validation")]

    def checkpoint_of(what: str, **settings: object) -> Checkpoint:
        common = {"model": model, "train": params, "device": kind, "processes": distributed.world_size()}
        return Checkpoint.for_training(folder.parent / CHECKPOINTS / what, describe(inputs, common | settings))

    checkpoint = checkpoint_of(folder.name, **{"network": name, name: network_params})
    distributed.init_process_group(device)
    spelling = Ragged.load(embedded, "subword_ids")

    def build(name: str, own: MlpParams | CnnParams) -> Network:
        set_determinism(params, device)
        network: Network = NETWORKS[name][0](sizes, model, own)
        if isinstance(network, MLP):
            network.pair_vectors.keys.copy_(torch.from_numpy(pairs))
        if len(start):
            network.word_vectors.load_pretrained(start)
        network.to(device)
        return network

    suspects: Suspects = np.zeros(len(training), bool), np.zeros(len(validation), bool)
    if params.drop_suspect_labels:
        search_checkpoint = checkpoint_of("suspects")
        judges, log_shares = partial(build, "mlp", CROSS_VALIDATION_PARAMS), torch.from_numpy(lexicon.log_shares)
        search = SuspectSearch(judges, search_checkpoint.for_search, spelling, log_shares, params)
        suspects = _load_or_find_suspects(search, search_checkpoint, training, validation)
    trusted, calibrating = (
        titles.take(np.flatnonzero(~suspect)) if suspect.any() else titles
        for titles, suspect in zip((training, validation), suspects, strict=True)
    )
    network = build(name, network_params)
    epochs, best = train(network, trusted, validation, spelling, params, checkpoint, report)
    if distributed.rank() == 0:
        calibrate(network, calibrating, spelling, lexicon)
        # On all titles, as those whose label looks wrong are among the mistakes one will see.
        found = fit_thresholds(network, validation, spelling, lexicon, params.objective)
        built = {"sizes": asdict(sizes), "model": asdict(model), "own": asdict(network_params), "train": asdict(params)}
        learned = {"epoch": best, "suspect_labels": int(suspects[0].sum())}
        used = {"cleaning": RULES, "thresholds": [asdict(one) for one in found], "versions": _versions()}
        network.word_vectors.precompute(spelling)
        _write(folder, embedded, network, {"network": name, **learned, **built, **used}, epochs)
        checkpoint.remove()
    return epochs


def _sizes(vocabulary: Vocabulary, num_bigrams: int, dimension: int, model: ModelParams) -> Sizes:
    if dimension % model.ensemble_size:
        raise InputError(
            f"embed.dimension is {dimension}, which model.ensemble_size, {model.ensemble_size}, does not divide"
        )
    buckets = vocabulary.subword_buckets if vocabulary.subword_lengths else 0
    return Sizes(len(vocabulary.words), buckets, num_bigrams, dimension, vocabulary.num_trained_categories)


def _load_or_find_suspects(
    search: SuspectSearch, checkpoint: Checkpoint, training: LabelledDataset, validation: LabelledDataset
) -> Suspects:
    """What the search finds, or found for the other network or before the training was killed."""
    if (found := checkpoint.load_suspects()) is None:
        found = search.find(training, validation)
        checkpoint.save_suspects(found)
    if found[0].any():
        log.info("leaves out %s titles whose labels look wrong", f"{found[0].sum():,}")
    return found


def _write(
    folder: Path, embedded: Path, network: Network, description: dict[str, Any], epochs: list[EpochMetrics]
) -> None:
    """Writes the model folder of a network whose word vectors are finished."""
    with atomic_directory(folder) as unfinished:
        shutil.copyfile(embedded / "vocabulary.json", unfinished / "vocabulary.json")
        save_file(network.state_dict(), unfinished / "weights.safetensors")
        write_history(epochs, unfinished / "history.csv")
        # safetensors lets nobody else read what it writes.
        shutil.copymode(unfinished / "history.csv", unfinished / "weights.safetensors")
        content = json.dumps(description, indent=2, ensure_ascii=False)
        (unfinished / "network.json").write_text(content + "\n", encoding="utf-8")
        best = next(epoch for epoch in epochs if epoch.epoch == description["epoch"])
        write_card(unfinished, embedded, best)


def _versions() -> dict[str, str]:
    versions = {"titles": __version__, "torch": torch.__version__, "numpy": np.__version__}
    return versions | {"python": platform.python_version()}
