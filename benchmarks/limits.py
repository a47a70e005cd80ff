"""Peak throughput of this machine, and a profile of training steps relative to it."""

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
MATMUL = re.compile(r"aten::(mm|addmm|bmm|baddbmm)_?")
# Kind of work by a pattern for the name of an operation or of one that contains it; the first match counts.
KINDS = {
    "loading": "loading",
    "updates": "optimizer",
    "loss": "loss|cross_?entropy|log_?softmax",
    "look-ups": "embedding|index|gather|unique|searchsorted|sort|repeat_interleave|bincount",
}
TIMING_SECONDS = 0.1
MATRIX_SIZE = 2048


class Profile:
    """Time of training steps by kind of work, in rounds, with the peaks of the machine measured after each round.

    The speed of a shared machine may vary by half from one moment to the next. A share of a peak is only meaningful if
    both were measured at the same time.
    """

    def __init__(self) -> None:
        self.steps, self.seconds = 0, 0.0
        self.seconds_by_kind: dict[str, float] = defaultdict(float)
        self.operations, self.dense_seconds, self.alone_seconds = 0, 0.0, 0.0
        self.peaks: list[tuple[float, float]] = []

    def add(self, events: list[Any], steps: int, seconds: float) -> None:
        """Add a round of `steps` steps that has just ended and took `seconds`."""
        self.steps, self.seconds = self.steps + steps, self.seconds + seconds
        for event in events:
            self.seconds_by_kind[_kind(event)] += event.self_cpu_time_total / 1e6
        self._add_dense(events)
        self.peaks.append(peaks())

    def _add_dense(self, events: list[Any]) -> None:
        """Add the time of the matrix multiplications, and of the same multiplications outside of training."""
        counts: dict[tuple[tuple[int, ...], ...], int] = defaultdict(int)
        for event in filter(_is_outermost_matmul, events):
            # The addend is the first argument, the output the last.
            first = 1 if "add" in event.name else 0
            left, right = map(tuple, event.input_shapes[first : first + 2])
            self.operations += 2 * prod(left) * right[-1]
            self.dense_seconds += event.cpu_time_total / 1e6
            counts[left, right] += 1
        for (left, right), count in counts.items():
            a, b = torch.rand(left), torch.rand(right)
            self.alone_seconds += count * _median_seconds(partial(torch.matmul, a, b))

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield a line per kind of work, with milliseconds per step and share of the time; and one with the peaks.

        The line of the dense layers, forward and backward, also has their rate in GFLOP/s, its ratio to the rate of the
        same multiplications outside of training, and the share of the peak that is used over the total time.
        """
        rest = self.seconds - sum(self.seconds_by_kind.values())
        seconds_by_kind = self.seconds_by_kind | {"between the operations": rest}
        gflops, copied = map(mean, zip(*self.peaks, strict=True))
        rates = {
            "gflops": self.operations / self.dense_seconds / 1e9,
            "gflops_alone": self.operations / self.alone_seconds / 1e9,
            "share_of_alone": self.alone_seconds / self.dense_seconds,
            "share_of_peak": self.operations / self.seconds / 1e9 / gflops,
        }
        for kind, seconds in sorted(seconds_by_kind.items(), key=lambda item: -item[1]):
            line = {"kind": kind, "milliseconds": 1000 * seconds / self.steps, "share": seconds / self.seconds}
            yield line | (rates if kind == DENSE_LAYERS else {})
        yield {"kind": "the machine's peak", "gflops": gflops, "gigabytes_per_second": copied}


def peaks() -> tuple[float, float]:
    """Return GFLOP/s of a matrix multiplication, and GB/s of a copy, where each byte is read and written."""
    a, b = torch.rand(MATRIX_SIZE, MATRIX_SIZE), torch.rand(MATRIX_SIZE, MATRIX_SIZE)
    multiplied = 2 * MATRIX_SIZE**3 / _median_seconds(lambda: torch.mm(a, b))
    source, target = torch.rand(2 << 26), torch.empty(2 << 26)
    copied = 2 * source.nbytes / _median_seconds(lambda: target.copy_(source))
    return multiplied / 1e9, copied / 1e9


def operations(network: dict[str, Any], words: float) -> float:
    """Return the multiplications and additions per title in a forward pass of a network, by its network.json.

    `words` is the number of distinct words of a batch divided by its titles: each distinct word is convolved once.
    """
    sizes, ensemble_size, params = network["sizes"], network["model"]["ensemble_size"], network["network_params"]
    inputs = sizes["dimension"] / ensemble_size
    hidden = [inputs, *[params["hidden_units"]] * params["hidden_layers"]] if network["network"] == "mlp" else [0]
    kernel_sizes = range(params.get("min_kernel_size", 1), params.get("max_kernel_size", 1) + 1)
    convolution = words * sum(kernel_sizes) * inputs * params["filters"]
    features = len(kernel_sizes) * params["filters"] + hidden[-1]
    return 2 * ensemble_size * (convolution + sum(map(mul, hidden, hidden[1:])) + features * sizes["categories"])


def _median_seconds(call: Callable[[], Any]) -> float:
    """Return the median of many calls, not the minimum: other load on the machine slows training as well."""
    call()
    seconds, deadline = [], time.monotonic() + TIMING_SECONDS
    while time.monotonic() < deadline:
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return median(seconds)


def _with_ancestors(event: Any) -> Iterator[Any]:
    """Yield the event and the events that contain it, the outermost last."""
    while event is not None:
        yield event
        event = event.cpu_parent


def _is_matmul(event: Any) -> bool:
    return bool(MATMUL.fullmatch(event.name))


def _is_outermost_matmul(event: Any) -> bool:
    return _is_matmul(event) and not any(map(_is_matmul, _with_ancestors(event.cpu_parent)))


def _kind(event: Any) -> str:
    if any(map(_is_matmul, _with_ancestors(event))):
        return DENSE_LAYERS
    names = [ancestor.name for ancestor in _with_ancestors(event)][::-1]
    kinds = (kind for name in names for kind, word in KINDS.items() if re.search(word, name, re.IGNORECASE))
    return next(kinds, "all else: activations, normalisation, dropout, sums")
