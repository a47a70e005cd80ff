"""A training stage, watched: `python -m benchmarks.watched train_mlp EMBEDDED VECTORS FOLDER`.

It is the stage itself, and at its end a line of JSON says what its checkpoints cost. With `--profile` it ends after
some steps instead, and says what they spend their time on.
"""

import importlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import torch

from benchmarks.limits import Profile
from titles.data.ragged import Ragged
from titles.nn import distributed
from titles.nn.networks import CNN, MLP
from titles.stage import start
from titles.training.checkpoint import Checkpoint
from titles.training.train_step import TrainStep

WARM_UP, ROUNDS, STEPS = 50, 10, 10


class Saves:
    """How long a training saved, and went without."""

    def __init__(self) -> None:
        self.started = self.last = self.ended = time.monotonic()
        self.count, self.seconds, self.longest = 0, 0.0, 0.0

    def end(self, remove: Callable[..., None]) -> Callable[..., None]:
        """`remove`, with which a training ends."""

        def watched(*arguments: Any) -> None:
            self.ended = time.monotonic()
            remove(*arguments)

        return watched

    def watch(self, save: Callable[..., None]) -> Callable[..., None]:
        """`save`, timed."""

        def watched(*arguments: Any) -> None:
            began = time.monotonic()
            self.longest = max(self.longest, began - self.last)
            save(*arguments)
            self.count, self.last = self.count + 1, time.monotonic()
            self.seconds += self.last - began

        return watched

    def told(self) -> dict[str, float]:
        """In seconds, but for the number of checkpoints."""
        longest = max(self.longest, self.ended - self.last)
        share = self.seconds / (self.ended - self.started)
        return {
            "checkpoints": self.count,
            "checkpoint_seconds": round(self.seconds, 2),
            "checkpoint_share": round(share, 4),
            "without_checkpoint_seconds": round(longest, 1),
        }


class Profiled:
    """Some rounds of steps, of which each is profiled, before the training is ended."""

    def __init__(self) -> None:
        self.steps, self.started = 0, 0.0
        self.known = Profile()

    def watch(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """`step`, counted."""

        def watched(*arguments: Any) -> Any:
            done = self.steps - WARM_UP
            if done >= 0 and done % STEPS == 0:
                self._end(rounds=done // STEPS, titles=len(arguments[2]))
                self._begin()
            self.steps += 1
            return step(*arguments)

        return watched

    def _begin(self) -> None:
        activities = [torch.profiler.ProfilerActivity.CPU]
        self.profiler = torch.profiler.profile(activities=activities, record_shapes=True)
        self.profiler.start()
        self.started = time.monotonic()

    def _end(self, rounds: int, titles: int) -> None:
        """Ends a round, if one was begun; and after the last, which had `titles` in a step, says what is known."""
        if not rounds:
            return
        seconds = time.monotonic() - self.started
        self.profiler.stop()
        self.known.add(list(self.profiler.events()), STEPS, seconds)
        if rounds < ROUNDS:
            return
        for line in self.known.lines():
            rounded = {name: round(value, 4) if isinstance(value, float) else value for name, value in line.items()}
            print(json.dumps(rounded | {"titles": titles}), flush=True)
        raise SystemExit(0)


def loading(load: Callable[..., Any]) -> Callable[..., Any]:
    """`load`, under that name in the profile."""

    def named(*arguments: Any) -> Any:
        with torch.profiler.record_function("loading"):
            return load(*arguments)

    return named


def main() -> None:
    """The command line."""
    profiled = "--profile" in sys.argv
    sys.argv = [argument for argument in sys.argv[1:] if argument != "--profile"]
    stage = getattr(importlib.import_module(f"stages.{sys.argv[0]}"), sys.argv[0])
    if profiled:
        with (
            mock.patch.object(TrainStep, "__call__", Profiled().watch(TrainStep.__call__)),
            mock.patch.object(Ragged, "take", loading(Ragged.take)),
            mock.patch.object(MLP, "batch", loading(MLP.batch)),
            mock.patch.object(CNN, "batch", loading(CNN.batch)),
        ):
            start(stage)
        raise SystemExit(f"the training ended before {WARM_UP + ROUNDS * STEPS} steps")
    saves = Saves()
    with (
        mock.patch.object(Checkpoint, "save", saves.watch(Checkpoint.save)),
        mock.patch.object(Checkpoint, "remove", saves.end(Checkpoint.remove)),
    ):
        start(stage)
    # Of several processes the first alone saves.
    if distributed.rank() == 0:
        print(json.dumps(saves.told()), flush=True)


if __name__ == "__main__":
    main()
