"""From where a training that was killed goes on, when the same training is started again.

A checkpoint is kept in a folder named by everything that decides the result (`titles.training.fingerprint`), so that a
training never goes on from the checkpoint of another one, and outside DVC's outputs, which DVC removes before
a stage runs.
Beside it stand the newest checkpoints of other trainings, so that a quick trial in between costs none of them.
"""

import json
import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from titles.core.disk_full import complaint
from titles.nn import distributed
from titles.training.fingerprint import Description, differences, fingerprint

log = logging.getLogger(__name__)

CHECKPOINTS = ".checkpoints"
FOUND, DESCRIPTION = "suspects.npz", "training.json"
# How many checkpoints of other trainings of the same network are kept, and in how many bytes; the newest one always.
KEPT_TRAININGS, KEPT_BYTES = 3, 10 * 10**9
# How long there is no checkpoint: a minute, or as long as keeps saving to this share of the time, but never longer than
# the second.
SECONDS, MOST_SECONDS = 60.0, 100.0
SHARE = 0.02


class Checkpoint:
    """The folder of one training.

    Of several processes, which are all in the same place, the first writes and all read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "checkpoint.pt"
        if distributed.rank() == 0:
            folder.mkdir(parents=True, exist_ok=True)
        self.saved, self.interval = time.monotonic(), SECONDS
        # The weights of the best epoch, and those that the last checkpoint speaks of, which must stay as they are.
        self.weights: Path | None = None
        self.saved_weights: Path | None = None

    @classmethod
    def of_training(cls, folder: Path, description: Description) -> "Checkpoint":
        """The checkpoint in `folder` of the training with that description; removes old ones of other trainings."""
        checkpoint = cls(folder / fingerprint(description))
        if distributed.rank() == 0:
            (checkpoint.folder / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
            _remove_old(checkpoint.folder, description)
        return checkpoint

    def of_search(self, name: str) -> "Checkpoint":
        """That of one training, where this is the folder of a search for suspect labels; its others are removed."""
        if distributed.rank() == 0:
            for other in self.folder.glob("search/*"):
                if other.name != name:
                    shutil.rmtree(other)
        return Checkpoint(self.folder / "search" / name)

    def keep_found(self, suspects: tuple[NDArray[np.bool_], NDArray[np.bool_]]) -> None:
        """What the search found, which stays for the other network and for a training that is killed."""
        if distributed.rank() == 0:
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
        if distributed.rank() == 0:
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
        if distributed.rank() == 0 and time.monotonic() - self.saved >= self.interval:
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


def _remove_old(folder: Path, description: Description) -> None:
    """Remove the oldest of the checkpoints beside `folder`; log which, and what sets their trainings apart."""
    others = {other: _last_saved(other) for other in folder.parent.iterdir() if other.is_dir() and other != folder}
    newest_first = sorted(others, key=lambda other: others[other], reverse=True)
    kept: list[Path] = []
    size = 0
    for other in newest_first:
        size += (own_size := sum(file.stat().st_size for file in other.rglob("*") if file.is_file()))
        if others[other] and len(kept) < KEPT_TRAININGS and (size <= KEPT_BYTES or not kept):
            kept.append(other)
            continue
        # Of a training that was killed before it saved, nothing is lost.
        if others[other]:
            saved = time.strftime("%Y-%m-%d %H:%M", time.localtime(others[other]))
            which = f"of {saved}, {own_size / 1e9:.1f} GB, which differs in {_differences(other, description)}"
            most = f"the newest {KEPT_TRAININGS} in at most {KEPT_BYTES / 1e9:.0f} GB"
            log.info("removed the checkpoint of another training (%s), as only %s are kept", which, most)
        shutil.rmtree(other)
    if kept and not _last_saved(folder):
        newest = _differences(kept[0], description)
        log.info(
            "%s has no checkpoint of this training, and %d of others; the newest differs in %s",
            folder.parent,
            len(kept),
            newest,
        )


def _last_saved(folder: Path) -> float:
    """When a checkpoint, or what a search found, was last saved there; 0 where nothing was."""
    return max((file.stat().st_mtime for name in ("checkpoint.pt", FOUND) for file in folder.rglob(name)), default=0.0)


def _differences(folder: Path, description: Description) -> str:
    try:
        other = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "the version of titles"
    return differences(description, other)


def _sync(path: Path) -> None:
    """Waits until the file, or the names in the folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
