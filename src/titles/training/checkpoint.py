"""Checkpoints, from which a training that was stopped or killed resumes.

A checkpoint folder is named by the fingerprint of the training (`titles.training.fingerprint`), so that a training
never resumes from the checkpoint of a different one. The folders are outside DVC's outputs, because DVC removes these
before a stage runs. The newest checkpoints of other trainings are retained, so that a quick trial in between does not
cost a long training its checkpoint.
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
# Checkpoints of other trainings of the same network to retain, and their size limit. The newest is always retained.
MAX_OTHER_TRAININGS, MAX_OTHER_BYTES = 3, 10 * 10**9
# The seconds between two checkpoints. Within these bounds, saving takes at most MAX_TIME_SHARE of the time.
MIN_INTERVAL_SECONDS, MAX_INTERVAL_SECONDS = 60.0, 100.0
MAX_TIME_SHARE = 0.02


class Checkpoint:
    """The checkpoint folder of one training.

    In distributed training only rank 0 writes, and every rank reads.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "checkpoint.pt"
        if distributed.rank() == 0:
            folder.mkdir(parents=True, exist_ok=True)
        self.saved_at, self.interval = time.monotonic(), MIN_INTERVAL_SECONDS
        # The best epoch's weights, and the ones the last checkpoint refers to, which must not be overwritten.
        self.best_weights: Path | None = None
        self.saved_weights: Path | None = None

    @classmethod
    def for_training(cls, folder: Path, description: Description) -> "Checkpoint":
        """Open the checkpoint of a training in `folder` and remove old checkpoints of other trainings."""
        checkpoint = cls(folder / fingerprint(description))
        if distributed.rank() == 0:
            (checkpoint.folder / DESCRIPTION_FILE).write_text(
                json.dumps(description, indent=1) + "\n", encoding="utf-8"
            )
            _remove_old(checkpoint.folder, description)
        return checkpoint

    def for_search(self, name: str) -> "Checkpoint":
        """Open the checkpoint of one training of a suspect label search, and remove those of its other trainings.

        `self` is the checkpoint of the search.
        """
        if distributed.rank() == 0:
            for other in self.folder.glob("search/*"):
                if other.name != name:
                    shutil.rmtree(other)
        return Checkpoint(self.folder / "search" / name)

    def save_suspects(self, suspects: tuple[NDArray[np.bool_], NDArray[np.bool_]]) -> None:
        """Save the result of the search, for the other network and for a training that resumes."""
        if distributed.rank() == 0:
            unfinished = self.folder / "suspects.new.npz"
            np.savez(unfinished, *suspects)
            unfinished.replace(self.folder / SUSPECTS_FILE)
            shutil.rmtree(self.folder / "search", ignore_errors=True)

    def load_suspects(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
        """Load the result of the search; None if no search has finished."""
        if not (self.folder / SUSPECTS_FILE).exists():
            return None
        with np.load(self.folder / SUSPECTS_FILE) as saved:
            return saved["arr_0"], saved["arr_1"]

    def save_best(self, weights: dict[str, Tensor]) -> None:
        """Save the weights of the best epoch so far, in whichever of two files the last checkpoint does not use."""
        if distributed.rank() == 0:
            files = (self.folder / f"best.{number}.safetensors" for number in range(2))
            self.best_weights = next(file for file in files if file != self.saved_weights)
            save_file(weights, self.best_weights)

    def load_best(self) -> dict[str, Tensor]:
        """Load the weights of the best epoch."""
        assert self.best_weights
        return load_file(self.best_weights)

    def load(self) -> dict[str, Any] | None:
        """Load the last saved state; None if there is none."""
        if not self.file.exists():
            return None
        saved = torch.load(self.file, map_location="cpu", weights_only=True)
        if saved["weights"]:
            self.best_weights = self.saved_weights = self.folder / saved["weights"]
        state: dict[str, Any] = saved["state"]
        return state

    def save_when_due(self, state: Callable[[], dict[str, Any]]) -> None:
        """Save the state, unless the last checkpoint is more recent than `interval` seconds."""
        if distributed.rank() == 0 and time.monotonic() - self.saved_at >= self.interval:
            self.save(state())

    def save(self, state: dict[str, Any]) -> None:
        """Replace the last checkpoint atomically.

        If saving fails, log a warning and leave the last checkpoint as it is.
        """
        started = time.monotonic()
        unfinished = self.folder / "checkpoint.new"
        try:
            if self.best_weights and self.best_weights != self.saved_weights:
                _fsync(self.best_weights)
            with unfinished.open("wb") as file:
                torch.save({"state": state, "weights": self.best_weights and self.best_weights.name}, file)
                os.fsync(file.fileno())
            unfinished.replace(self.file)
            _fsync(self.folder)
            self.saved_weights = self.best_weights
        # torch reports a full disk as a RuntimeError about an unexpected file position.
        except (OSError, RuntimeError) as error:
            unfinished.unlink(missing_ok=True)
            log.warning("no checkpoint could be saved (%s), training continues", disk_full_message(error) or error)
        self.saved_at = time.monotonic()
        self.interval = min(max(MIN_INTERVAL_SECONDS, (self.saved_at - started) / MAX_TIME_SHARE), MAX_INTERVAL_SECONDS)

    def remove(self) -> None:
        """Remove the folder of a training that has finished."""
        shutil.rmtree(self.folder)


def _remove_old(folder: Path, description: Description) -> None:
    """Remove the oldest checkpoints of other trainings; log which, and in what their trainings differ."""
    others = {other: _last_saved(other) for other in folder.parent.iterdir() if other.is_dir() and other != folder}
    newest_first = sorted(others, key=lambda other: others[other], reverse=True)
    retained: list[Path] = []
    size = 0
    for other in newest_first:
        size += (own_size := sum(file.stat().st_size for file in other.rglob("*") if file.is_file()))
        if others[other] and len(retained) < MAX_OTHER_TRAININGS and (size <= MAX_OTHER_BYTES or not retained):
            retained.append(other)
            continue
        # A training that was killed before its first checkpoint loses nothing, so the log does not mention it.
        if others[other]:
            saved = time.strftime("%Y-%m-%d %H:%M", time.localtime(others[other]))
            details = f"of {saved}, {own_size / 1e9:.1f} GB, which differs in {_differences(other, description)}"
            limit = f"the newest {MAX_OTHER_TRAININGS} in at most {MAX_OTHER_BYTES / 1e9:.0f} GB"
            log.info("removed the checkpoint of another training (%s), as only %s are kept", details, limit)
        shutil.rmtree(other)
    if retained and not _last_saved(folder):
        newest = _differences(retained[0], description)
        log.info(
            "%s has no checkpoint of this training, and %d of others; the newest differs in %s",
            folder.parent,
            len(retained),
            newest,
        )


def _last_saved(folder: Path) -> float:
    """When a checkpoint or a search result was last saved in `folder`, in seconds since the epoch; 0 if never."""
    return max(
        (file.stat().st_mtime for name in ("checkpoint.pt", SUSPECTS_FILE) for file in folder.rglob(name)), default=0.0
    )


def _differences(folder: Path, description: Description) -> str:
    """The names of the settings in which the training of `folder` differs."""
    try:
        other = json.loads((folder / DESCRIPTION_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "the version of titles"
    return differences(description, other)


def _fsync(path: Path) -> None:
    """Flush a file, or the entries of a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
