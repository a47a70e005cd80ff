"""What this machine can do at most, and what share of it the steps of a training reach."""

import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from math import prod
from operator import mul
from statistics import mean, median
from typing import Any

import torch

DENSE_LAYERS = "dense layers"
DENSE = re.compile(r"aten::(mm|addmm|bmm|baddbmm)_?")
# What an operation, or one it is part of, is called; the first that fits.
KINDS = {
    "loading": "loading",
    "updates": "optimizer",
    "loss": "loss|cross_?entropy|log_?softmax",
    "look-ups": "Sums|_Rows|embedding|index|gather|unique|searchsorted|sort|repeat_interleave|bincount",
}
SECONDS = 0.1
SIZE = 2048


class Profile:
    """What the steps of a training spend their time on, in rounds, each followed by the limits of the machine.

    A shared machine is half as fast again at one moment as at the next, so that no share of a limit is worth anything
    unless both were measured at once.
    """

    def __init__(self) -> None:
        self.steps, self.seconds = 0, 0.0
        self.spent: dict[str, float] = defaultdict(float)
        self.operations, self.dense, self.alone = 0, 0.0, 0.0
        self.peaks: list[tuple[float, float]] = []

    def add(self, events: list[Any], steps: int, seconds: float) -> None:
        """A round of so many steps, just ended, that took so long."""
        self.steps, self.seconds = self.steps + steps, self.seconds + seconds
        for event in events:
            self.spent[_kind(event)] += event.self_cpu_time_total / 1e6
        self._add_dense(events)
        self.peaks.append(peaks())

    def _add_dense(self, events: list[Any]) -> None:
        """The time of the multiplications, and of the same ones alone."""
        counts: dict[tuple[tuple[int, ...], ...], int] = defaultdict(int)
        for event in filter(_is_outermost_dense, events):
            # What is added to comes before the factors, what is written to after them.
            first = 1 if "add" in event.name else 0
            left, right = map(tuple, event.input_shapes[first : first + 2])
            self.operations += 2 * prod(left) * right[-1]
            self.dense += event.cpu_time_total / 1e6
            counts[left, right] += 1
        for (left, right), count in counts.items():
            a, b = torch.rand(left), torch.rand(right)
            self.alone += count * _seconds(partial(torch.matmul, a, b))

    def lines(self) -> Iterator[dict[str, Any]]:
        """A line a kind of work: milliseconds a step and share of the time; and one with the machine's peak.

        The dense layers, forwards and backwards, also with their rate in billions of operations a second, and its share
        of the rate of the same multiplications alone; and what share of the peak is used over all of the time. A copy
        counts twice, as it reads and writes.
        """
        spent = self.spent | {"between the operations": self.seconds - sum(self.spent.values())}
        gflops, copied = map(mean, zip(*self.peaks, strict=True))
        rates = {
            "gflops": self.operations / self.dense / 1e9,
            "gflops_alone": self.operations / self.alone / 1e9,
            "share_of_alone": self.alone / self.dense,
            "share_of_peak": self.operations / self.seconds / 1e9 / gflops,
        }
        for kind in sorted(spent, key=lambda kind: -spent[kind]):
            line = {"kind": kind, "milliseconds": 1000 * spent[kind] / self.steps, "share": spent[kind] / self.seconds}
            yield line | (rates if kind == DENSE_LAYERS else {})
        yield {"kind": "the machine's peak", "gflops": gflops, "gigabytes_per_second": copied}


def peaks() -> tuple[float, float]:
    """Of a matrix multiplication billions of operations a second, of a copy GB a second, read and written."""
    a, b = torch.rand(SIZE, SIZE), torch.rand(SIZE, SIZE)
    multiplied = 2 * SIZE**3 / _seconds(lambda: torch.mm(a, b))
    source, target = torch.rand(2 << 26), torch.empty(2 << 26)
    copied = 2 * source.nbytes / _seconds(lambda: target.copy_(source))
    return multiplied / 1e9, copied / 1e9


def operations(network: dict[str, Any], words: float) -> float:
    """What a network, as its network.json describes it, multiplies and adds for a title.

    `words` is how many distinct words there are in a batch for every title of it: only these are filtered.
    """
    sizes, members, own = network["sizes"], network["model"]["members"], network["own"]
    inputs = sizes["dimension"] / members
    hidden = [inputs, *[own["hidden_units"]] * own["hidden_layers"]] if network["network"] == "mlp" else [0]
    kernel_sizes = range(own.get("min_kernel_size", 1), own.get("max_kernel_size", 1) + 1)
    filtered = words * sum(kernel_sizes) * inputs * own["filters"]
    features = len(kernel_sizes) * own["filters"] + hidden[-1]
    return 2 * members * (filtered + sum(map(mul, hidden, hidden[1:])) + features * sizes["categories"])


def _seconds(call: Callable[[], Any]) -> float:
    """The median of many calls in a row, as what else the machine does slows the training as well."""
    call()
    seconds, deadline = [], time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return median(seconds)


def _line(event: Any) -> Iterator[Any]:
    """The event and all it is part of, the outermost last."""
    while event is not None:
        yield event
        event = event.cpu_parent


def _is_dense(event: Any) -> bool:
    return bool(DENSE.fullmatch(event.name))


def _is_outermost_dense(event: Any) -> bool:
    return _is_dense(event) and not any(map(_is_dense, _line(event.cpu_parent)))


def _kind(event: Any) -> str:
    if any(map(_is_dense, _line(event))):
        return DENSE_LAYERS
    names = [outer.name for outer in _line(event)][::-1]
    found = (kind for name in names for kind, word in KINDS.items() if re.search(word, name, re.IGNORECASE))
    return next(found, "all else: activations, normalisation, dropout, sums")
