"""A model folder loaded by the server: a classifier in memory, and the identity that every response names."""

import hashlib
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from titles.core.errors import InputError
from titles.inference.classifier import Classifier, model_folders
from titles.persistence.model_card import HASHED_FILES


@dataclass(frozen=True)
class LoadedModel:
    """A classifier with its identity.

    name         the name of the folder
    version      the version of titles that trained it
    hash         the SHA-256 of the lines that `sha256sum` prints for the model files, sorted by path
    commit       the commit of the checkout that holds the folder, with -dirty if tracked files differ; None without Git
    thresholds   the thresholds of each network, as in network.json
    """

    classifier: Classifier
    name: str
    version: str
    hash: str
    commit: str | None
    thresholds: dict[str, list[dict[str, Any]]]

    @property
    def identity(self) -> dict[str, str]:
        return {"name": self.name, "version": self.version, "hash": self.hash}


def load_model(folder: Path, objective: str | None, device: torch.device | None = None) -> LoadedModel:
    """Load a model folder, or a folder of several, to the device, by default the CPU.

    Raises InputError if `Classifier.load` does, if weights are not finite, or if a file changed while it was read.
    """
    states = _file_states(folder)
    classifier = Classifier.load(folder, objective, device or "cpu")
    for name, network in classifier.networks.items():
        if not all(weights.sum().isfinite() for weights in network.state_dict().values()):
            raise InputError(f"{folder}: the weights of {name} are not finite; train it again or fetch it again")
    try:
        content = {file: file.read_bytes() for file in states if file.suffix == ".json"}
        digest = _hash_files(folder, list(states))
        is_unchanged = _file_states(folder) == states
    except OSError:
        is_unchanged = False
    if not is_unchanged:
        raise InputError(f"{folder} was changed while it was read; load it again once it is written")
    networks = {
        file.parent.resolve().name: json.loads(text) for file, text in content.items() if file.stem == "network"
    }
    versions = dict.fromkeys(description.get("versions", {}).get("titles", "") for description in networks.values())
    thresholds = {name: description.get("thresholds", []) for name, description in networks.items()}
    return LoadedModel(classifier, folder.resolve().name, " ".join(versions), digest, _git_commit(folder), thresholds)


def _file_states(folder: Path) -> dict[Path, tuple[int, int, int]]:
    """The inode, size and modification time of each model file; a changed file differs in one of them."""
    files = sorted((one / name for one in model_folders(folder) for name in HASHED_FILES), key=str)
    # A missing file is left to `Classifier.load`, which reports it.
    return {file: (s.st_ino, s.st_size, s.st_mtime_ns) for file in files if file.exists() and (s := file.stat())}


def _hash_files(folder: Path, files: list[Path]) -> str:
    lines = []
    for file in files:
        with file.open("rb") as content:
            lines.append(f"{hashlib.file_digest(content, 'sha256').hexdigest()}  {file.relative_to(folder)}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _git_commit(folder: Path) -> str | None:
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
