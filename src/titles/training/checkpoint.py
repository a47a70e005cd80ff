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

from titles.core.disk_full import disk_full_message
from titles.nn import distributed
from titles.training.fingerprint import Description, differences, fingerprint

log = logging.getLogger(__name__)

CHECKPOINTS = ".checkpoints"
SUSPECTS_FILE, DESCRIPTION_FILE = "suspects.npz", "training.json"
# How many checkpoints of other trainings of the same network are kept, and in how many bytes; the newest one always.
MAX_OTHER_TRAININGS, MAX_OTHER_BYTES = 3, 10 * 10**9
# How long there is no checkpoint: a minute, or as long as keeps saving to this share of the time, but never longer than
# the second.
MIN_INTERVAL_SECONDS, MAX_INTERVAL_SECONDS = 60.0, 100.0
MAX_TIME_SHARE = 0.02


class Checkpoint:
    """The folder of one training.

    Of several processes, which are all in the same place, the first writes and all read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "checkpoint.pt"
        if distributed.rank() == 0:
            folder.mkdir(parents=True, exist_ok=True)
        self.saved_at, self.interval = time.monotonic(), MIN_INTERVAL_SECONDS
        # The weights of the best epoch, and those that the last checkpoint speaks of, which must stay as they are.
        self.best_weights: Path | None = None
        self.saved_weights: Path | None = None

    @classmethod
    def for_training(cls, folder: Path, description: Description) -> "Checkpoint":
        """The checkpoint in `folder` of the training with that description; removes old ones of other trainings."""
        checkpoint = cls(folder / fingerprint(description))
        if distributed.rank() == 0:
            (checkpoint.folder / DESCRIPTION_FILE).write_text(
                json.dumps(description, indent=1) + "\n", encoding="utf-8"
            )
            _remove_old(checkpoint.folder, description)
        return checkpoint

    def for_search(self, name: str) -> "Checkpoint":
        """That of one training, where this is the folder of a search for suspect labels; its others are removed."""
        if distributed.rank() == 0:
            for other in self.folder.glob("search/*"):
                if other.name != name:
                    shutil.rmtree(other)
        return Checkpoint(self.folder / "search" / name)

    def save_suspects(self, suspects: tuple[NDArray[np.bool_], NDArray[np.bool_]]) -> None:
        """What the search found, which stays for the other network and for a training that is killed."""
        if distributed.rank() == 0:
            written = self.folder / "suspects.new.npz"
            np.savez(written, *suspects)
            written.replace(self.folder / SUSPECTS_FILE)
            shutil.rmtree(self.folder / "search", ignore_errors=True)

    def load_suspects(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
        """What it found, if it came to its end."""
        if not (self.folder / SUSPECTS_FILE).exists():
            return None
        with np.load(self.folder / SUSPECTS_FILE) as saved:
            return saved["arr_0"], saved["arr_1"]

    def save_best(self, weights: dict[str, Tensor]) -> None:
        """As those of the best epoch so far, in the one of two files that the last checkpoint knows nothing of."""
        if distributed.rank() == 0:
            files = (self.folder / f"best.{number}.safetensors" for number in range(2))
            self.best_weights = next(file for file in files if file != self.saved_weights)
            save_file(weights, self.best_weights)

    def load_best(self) -> dict[str, Tensor]:
        """The weights of the best epoch."""
        assert self.best_weights
        return load_file(self.best_weights)

    def load(self) -> dict[str, Any] | None:
        """What was saved last, if anything was."""
        if not self.file.exists():
            return None
        saved = torch.load(self.file, map_location="cpu", weights_only=True)
        if saved["weights"]:
            self.best_weights = self.saved_weights = self.folder / saved["weights"]
        state: dict[str, Any] = saved["state"]
        return state

    def save_when_due(self, state: Callable[[], dict[str, Any]]) -> None:
        """Saves, unless it did a short while ago."""
        if distributed.rank() == 0 and time.monotonic() - self.saved_at >= self.interval:
            self.save(state())

    def save(self, state: dict[str, Any]) -> None:
        """Replaces what was saved last once all is on the disk; where that fails it warns, and the last one stays."""
        started = time.monotonic()
        written = self.folder / "checkpoint.new"
        try:
            if self.best_weights and self.best_weights != self.saved_weights:
                _fsync(self.best_weights)
            with written.open("wb") as file:
                torch.save({"state": state, "weights": self.best_weights and self.best_weights.name}, file)
                os.fsync(file.fileno())
            written.replace(self.file)
            _fsync(self.folder)
            self.saved_weights = self.best_weights
        # Of a full disk torch says that a position in the file is unexpected.
        except (OSError, RuntimeError) as error:
            written.unlink(missing_ok=True)
            log.warning("no checkpoint could be saved (%s), the training goes on", disk_full_message(error) or error)
        self.saved_at = time.monotonic()
        self.interval = min(max(MIN_INTERVAL_SECONDS, (self.saved_at - started) / MAX_TIME_SHARE), MAX_INTERVAL_SECONDS)

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
        if others[other] and len(kept) < MAX_OTHER_TRAININGS and (size <= MAX_OTHER_BYTES or not kept):
            kept.append(other)
            continue
        # Of a training that was killed before it saved, nothing is lost.
        if others[other]:
            saved = time.strftime("%Y-%m-%d %H:%M", time.localtime(others[other]))
            which = f"of {saved}, {own_size / 1e9:.1f} GB, which differs in {_differences(other, description)}"
            most = f"the newest {MAX_OTHER_TRAININGS} in at most {MAX_OTHER_BYTES / 1e9:.0f} GB"
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
    return max(
        (file.stat().st_mtime for name in ("checkpoint.pt", SUSPECTS_FILE) for file in folder.rglob(name)), default=0.0
    )


def _differences(folder: Path, description: Description) -> str:
    try:
        other = json.loads((folder / DESCRIPTION_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "the version of titles"
    return differences(description, other)


def _fsync(path: Path) -> None:
    """Waits until the file, or the names in the folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
