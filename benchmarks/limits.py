"""What this machine can do at most, and what share of it the steps of a training reach."""

import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from math import prod
from statistics import median
from typing import Any

import torch

DENSE = re.compile(r"aten::(mm|addmm|bmm|baddbmm)_?")
# What an operation, or one it is part of, is called; the first that fits.
KINDS = {
    "loading": "loading",
    "updates": "optimizer",
    "loss": "loss|cross_?entropy|log_?softmax",
    "look-ups": "Sums|_Rows|embedding|index|gather|unique|searchsorted|sort|repeat_interleave|bincount",
}
SECONDS = 0.5
SIZE = 2048

Shapes = list[list[int]]


def machine(threads: int) -> dict[str, float]:
    """The most floating-point operations a second, in billions, of a matrix multiplication; and the GB/s of a copy.

    A copy counts twice, as it reads and writes.
    """
    torch.set_num_threads(threads)
    a, b = torch.rand(SIZE, SIZE), torch.rand(SIZE, SIZE)
    source, target = torch.rand(2 << 26), torch.empty(2 << 26)
    multiplied = 2 * SIZE**3 / _seconds(lambda: torch.mm(a, b))[0]
    copied = 2 * source.nbytes / _seconds(lambda: target.copy_(source))[0]
    return {"gflops": multiplied / 1e9, "gigabytes_per_second": copied / 1e9}


def _seconds(call: Callable[[], Any]) -> list[float]:
    """Of many calls in a row, the fastest first."""
    call()
    seconds, deadline = [], time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return sorted(seconds)


def shares(events: list[Any], steps: int, seconds: float, before: dict[str, float]) -> Iterator[dict[str, Any]]:
    """A line a kind of work: milliseconds a step and share of the time; and the machine's limits, `before` and now.

    The dense layers, forwards and backwards, also with their rate, and its share of the rate of the same
    multiplications alone; and what share of the machine's peak is used over all of the time.
    """
    spent: dict[str, float] = defaultdict(float)
    for event in events:
        spent[_kind(event)] += event.self_cpu_time_total / 1e6
    spent["between the operations"] = seconds - sum(spent.values())
    # A shared machine is not as fast at one time as at another.
    after = machine(torch.get_num_threads())
    peak = max(before["gflops"], after["gflops"])
    for kind in sorted(spent, key=lambda kind: -spent[kind]):
        line = {"kind": kind, "milliseconds": 1000 * spent[kind] / steps, "share": spent[kind] / seconds}
        yield line | (_dense_rates(events, seconds, peak) if kind == "dense layers" else {})
    yield {"kind": "the machine's peak, before"} | before
    yield {"kind": "the machine's peak, after"} | after


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
        return "dense layers"
    names = [outer.name for outer in _line(event)][::-1]
    found = (kind for name in names for kind, word in KINDS.items() if re.search(word, name, re.IGNORECASE))
    return next(found, "all else: activations, normalisation, dropout, sums")


def _dense_rates(events: list[Any], seconds: float, peak: float) -> dict[str, float]:
    """In billions of operations a second: while multiplying, of the same multiplications alone, and all in all."""
    operations, spent, alone = 0, 0.0, 0.0
    counts: dict[tuple[tuple[int, ...], ...], int] = defaultdict(int)
    for event in filter(_is_outermost_dense, events):
        # What is added to comes before the factors, what is written to after them.
        first = 1 if "add" in event.name else 0
        left, right = map(tuple, event.input_shapes[first : first + 2])
        operations += 2 * prod(left) * right[-1]
        spent += event.cpu_time_total / 1e6
        counts[left, right] += 1
    for (left, right), count in counts.items():
        a, b = torch.rand(left), torch.rand(right)
        # Not the fastest, as what else the machine does slows the training as well.
        alone += count * median(_seconds(partial(torch.matmul, a, b)))
    rates = {"gflops": operations / spent / 1e9, "gflops_alone": operations / alone / 1e9}
    return rates | {"share_of_alone": alone / spent, "share_of_peak": operations / seconds / 1e9 / peak}
