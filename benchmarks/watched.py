"""Run a training stage with measurements: `python -m benchmarks.watched train_mlp EMBEDDED VECTORS FOLDER`.

The stage runs unchanged; at its end a line of JSON gives the cost of its checkpoints. With `--profile` it stops after
some profiled steps instead, and prints their time by kind of work.
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


class CheckpointTimer:
    """Time spent on saving checkpoints, and the longest time without one."""

    def __init__(self) -> None:
        self.started = self.last = self.ended = time.monotonic()
        self.count, self.seconds, self.longest = 0, 0.0, 0.0

    def wrap_remove(self, remove: Callable[..., None]) -> Callable[..., None]:
        """Wrap `Checkpoint.remove`, the last call of a training, and record when it is called."""

        def wrapped(*arguments: Any) -> None:
            self.ended = time.monotonic()
            remove(*arguments)

        return wrapped

    def wrap_save(self, save: Callable[..., None]) -> Callable[..., None]:
        """Wrap `Checkpoint.save` and measure its time."""

        def wrapped(*arguments: Any) -> None:
            began = time.monotonic()
            self.longest = max(self.longest, began - self.last)
            save(*arguments)
            self.count, self.last = self.count + 1, time.monotonic()
            self.seconds += self.last - began

        return wrapped

    def summary(self) -> dict[str, float]:
        """Return the number of checkpoints, their seconds and share of the time, and the longest time without one."""
        longest = max(self.longest, self.ended - self.last)
        share = self.seconds / (self.ended - self.started)
        return {
            "checkpoints": self.count,
            "checkpoint_seconds": round(self.seconds, 2),
            "checkpoint_share": round(share, 4),
            "without_checkpoint_seconds": round(longest, 1),
        }


class StepProfiler:
    """Profile some rounds of training steps, then stop the training."""

    def __init__(self) -> None:
        self.steps, self.started = 0, 0.0
        self.profile = Profile()

    def wrap_step(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap `TrainStep.__call__`: count the steps, and begin and end the rounds."""

        def wrapped(*arguments: Any) -> Any:
            done = self.steps - WARM_UP
            if done >= 0 and done % STEPS == 0:
                self._end(rounds=done // STEPS, titles=len(arguments[2]))
                self._begin()
            self.steps += 1
            return step(*arguments)

        return wrapped

    def _begin(self) -> None:
        activities = [torch.profiler.ProfilerActivity.CPU]
        self.profiler = torch.profiler.profile(activities=activities, record_shapes=True)
        self.profiler.start()
        self.started = time.monotonic()

    def _end(self, rounds: int, titles: int) -> None:
        """End the current round, if any; after the last one print the profile and exit. A step has `titles` titles."""
        if not rounds:
            return
        seconds = time.monotonic() - self.started
        self.profiler.stop()
        self.profile.add(list(self.profiler.events()), STEPS, seconds)
        if rounds < ROUNDS:
            return
        for line in self.profile.lines():
            rounded = {name: round(value, 4) if isinstance(value, float) else value for name, value in line.items()}
            print(json.dumps(rounded | {"titles": titles}), flush=True)
        raise SystemExit(0)


def record_loading(load: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function so that the profile shows it as `loading`."""

    def wrapped(*arguments: Any) -> Any:
        with torch.profiler.record_function("loading"):
            return load(*arguments)

    return wrapped


def main() -> None:
    """The command line."""
    is_profiled = "--profile" in sys.argv
    sys.argv = [argument for argument in sys.argv[1:] if argument != "--profile"]
    stage = getattr(importlib.import_module(f"stages.{sys.argv[0]}"), sys.argv[0])
    if is_profiled:
        with (
            mock.patch.object(TrainStep, "__call__", StepProfiler().wrap_step(TrainStep.__call__)),
            mock.patch.object(Ragged, "take", record_loading(Ragged.take)),
            mock.patch.object(MLP, "batch", record_loading(MLP.batch)),
            mock.patch.object(CNN, "batch", record_loading(CNN.batch)),
        ):
            start(stage)
        raise SystemExit(f"the training ended before {WARM_UP + ROUNDS * STEPS} steps")
    timer = CheckpointTimer()
    with (
        mock.patch.object(Checkpoint, "save", timer.wrap_save(Checkpoint.save)),
        mock.patch.object(Checkpoint, "remove", timer.wrap_remove(Checkpoint.remove)),
    ):
        start(stage)
    # Only rank 0 saves checkpoints.
    if distributed.rank() == 0:
        print(json.dumps(timer.summary()), flush=True)


if __name__ == "__main__":
    main()
