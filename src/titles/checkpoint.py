"""From where a training that was killed goes on, when the same training is started again.

A checkpoint is kept in a folder named by everything that decides the result, so that a training never goes on from the
checkpoint of another one, and outside DVC's outputs, which DVC removes before a stage runs.
"""

import hashlib
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from titles import processes
from titles.disk import complaint

log = logging.getLogger(__name__)

CHECKPOINTS = ".checkpoints"
FOUND = "suspects.npz"
# How long there is no checkpoint: a minute, or as long as keeps saving to this share of the time, but never longer than
# the second.
SECONDS, MOST_SECONDS = 60.0, 100.0
SHARE = 0.02


def fingerprint(inputs: Iterable[Path], *settings: object) -> str:
    """A hash of the files and of the settings, and of this package's code, the versions and the processor's kind."""
    digest = hashlib.blake2b(digest_size=16)
    modules = (module.__file__ for name, module in sys.modules.items() if name.startswith("titles."))
    for file in sorted({*inputs, *(Path(module) for module in modules if module)}):
        digest.update(f"{file.name} {_hash(file)}\n".encode())
    versions = (sys.version, np.__version__, torch.__version__, torch.backends.cpu.get_cpu_capability())
    digest.update(repr((versions, settings)).encode())
    return digest.hexdigest()


def _hash(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "blake2b").hexdigest()


class Checkpoint:
    """The folder of one training. What other trainings of the same network left beside it is removed.

    Of several processes, which are all in the same place, the first writes and all read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "checkpoint.pt"
        if processes.rank() == 0:
            folder.mkdir(parents=True, exist_ok=True)
            for other in folder.parent.iterdir():
                if other != folder:
                    shutil.rmtree(other)
        self.saved, self.interval = time.monotonic(), SECONDS
        # The weights of the best epoch, and those that the last checkpoint speaks of, which must stay as they are.
        self.weights: Path | None = None
        self.saved_weights: Path | None = None

    def of_search(self, name: str) -> "Checkpoint":
        """That of one training, where this is the folder of a search for suspect labels; its others are removed."""
        return Checkpoint(self.folder / "search" / name)

    def keep_found(self, suspects: tuple[NDArray[np.bool_], NDArray[np.bool_]]) -> None:
        """What the search found, which stays for the other network and for a training that is killed."""
        if processes.rank() == 0:
            written = self.folder / "suspects.new.npz"
            np.savez(written, *suspects)
            written.replace(self.folder / FOUND)
            shutil.rmtree(self.folder / "search", ignore_errors=True)

    def found(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
        """What it found, if it came to its end."""
        if not (self.folder / FOUND).exists():
            return None
        with np.load(self.folder / FOUND) as saved:
            return saved["arr_0"], saved["arr_1"]

    def keep(self, weights: dict[str, Tensor]) -> None:
        """As those of the best epoch so far, in the one of two files that the last checkpoint knows nothing of."""
        if processes.rank() == 0:
            files = (self.folder / f"best.{number}.safetensors" for number in range(2))
            self.weights = next(file for file in files if file != self.saved_weights)
            save_file(weights, self.weights)

    def kept(self) -> dict[str, Tensor]:
        """The weights of the best epoch."""
        assert self.weights
        return load_file(self.weights)

    def load(self) -> dict[str, Any] | None:
        """What was saved last, if anything was."""
        if not self.file.exists():
            return None
        saved = torch.load(self.file, map_location="cpu", weights_only=True)
        if saved["weights"]:
            self.weights = self.saved_weights = self.folder / saved["weights"]
        state: dict[str, Any] = saved["state"]
        return state

    def save_when_due(self, state: Callable[[], dict[str, Any]]) -> None:
        """Saves, unless it did a short while ago."""
        if processes.rank() == 0 and time.monotonic() - self.saved >= self.interval:
            self.save(state())

    def save(self, state: dict[str, Any]) -> None:
        """Replaces what was saved last once all is on the disk; where that fails it warns, and the last one stays."""
        started = time.monotonic()
        written = self.folder / "checkpoint.new"
        try:
            if self.weights and self.weights != self.saved_weights:
                _sync(self.weights)
            with written.open("wb") as file:
                torch.save({"state": state, "weights": self.weights and self.weights.name}, file)
                os.fsync(file.fileno())
            written.replace(self.file)
            _sync(self.folder)
            self.saved_weights = self.weights
        # Of a full disk torch says that a position in the file is unexpected.
        except (OSError, RuntimeError) as error:
            written.unlink(missing_ok=True)
            log.warning("no checkpoint could be saved (%s), the training goes on", complaint(error) or error)
        self.saved = time.monotonic()
        self.interval = min(max(SECONDS, (self.saved - started) / SHARE), MOST_SECONDS)

    def remove(self) -> None:
        """The training is done."""
        shutil.rmtree(self.folder)


def _sync(path: Path) -> None:
    """Waits until the file, or the names in the folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
