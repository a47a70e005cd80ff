"""Batches of titles where the network is: on the CPU one after another, on a GPU many at a time."""

from collections.abc import Iterable, Iterator
from itertools import groupby, islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from titles.core.prefetch import ahead
from titles.data.batch import Batch, moved
from titles.data.device_batches import GpuRagged, Stretch
from titles.data.encoded_dataset import Labelled
from titles.data.ragged import Ragged
from titles.data.sliced_arrays import Capacities, Parts
from titles.nn.networks import Network

# Made at a time on a GPU, whose memory they take some kilobytes each.
STRETCH_TITLES = 131_072
# The share of a GPU's free memory that titles may have; the rest is for training.
TITLES_SHARE = 0.5

Group = NDArray[np.int64]


class Batches:
    """Titles of which batches can be had, any number of times."""

    def __init__(self, titles: Labelled, spelling: Ragged, device: torch.device) -> None:
        self.titles, self.spelling, self.device = titles, spelling, device
        self.on_gpu = OnGpu(titles, spelling, device) if device.type == "cuda" else None

    def __len__(self) -> int:
        return len(self.titles)

    def of(self, network: Network, groups: Iterable[Group]) -> Iterator[tuple[Batch, Tensor]]:
        """Of each group of titles, by number, its batch and its labels int64 [titles], on the device."""
        if self.on_gpu:
            yield from self.on_gpu.of(network, groups)
            return
        for rows in groups:
            labels = torch.from_numpy(self.titles.labels[rows]).long()
            batch = network.batch(self.titles.titles.take(rows), self.spelling)
            yield moved(batch, self.device), moved(labels, self.device)


class OnGpu:
    """The same for a GPU. Titles are resident there if they fit, else streamed, a stretch ahead."""

    def __init__(self, titles: Labelled, spelling: Ragged, device: torch.device) -> None:
        self.titles, self.device = titles, device
        self.spelling, self.capacities = GpuRagged.of(spelling, device), Capacities()
        self.resident: tuple[GpuRagged, Tensor] | None = None
        if _bytes(titles) < TITLES_SHARE * torch.cuda.mem_get_info(device)[0]:
            self.resident = GpuRagged.of(titles.titles, device), torch.tensor(titles.labels, device=device)

    def of(self, network: Network, groups: Iterable[Group]) -> Iterator[tuple[Batch, Tensor]]:
        """See `Batches.of`."""
        made = (
            map(self._resident, stretches(groups)) if self.resident else ahead(map(self._streamed, stretches(groups)))
        )
        for numbers, lengths, labels in made:
            stretch = Stretch(numbers, lengths, self.spelling, self.capacities)
            yield from zip(network.batches(stretch), labels.each(), strict=True)

    def _resident(self, groups: list[Group]) -> tuple[Parts, Parts, Parts]:
        titles, labels = self.resident  # type: ignore[misc]
        sizes = [len(rows) for rows in groups]
        rows = Parts(moved(torch.from_numpy(np.concatenate(groups)), self.device), sizes)
        return *titles.take(rows), Parts(labels[rows.values].long(), sizes)

    def _streamed(self, groups: list[Group]) -> tuple[Parts, Parts, Parts]:
        rows, sizes = np.concatenate(groups), [len(rows) for rows in groups]
        taken = self.titles.titles.take(rows)
        ends = taken.offsets[np.cumsum(sizes)]
        arrays = taken.values, np.diff(taken.offsets), self.titles.labels[rows]
        values, lengths, labels = (moved(torch.from_numpy(array), self.device).long() for array in arrays)
        return Parts(values, np.diff(ends, prepend=0).tolist()), Parts(lengths, sizes), Parts(labels, sizes)


def stretches(groups: Iterable[Group]) -> Iterator[list[Group]]:
    """Groups of one size, with `STRETCH_TITLES` at a time."""
    for size, alike in groupby(groups, len):
        while some := list(islice(alike, max(1, STRETCH_TITLES // max(1, size)))):
            yield some


def _bytes(titles: Labelled) -> int:
    return int(titles.titles.values.nbytes + titles.titles.offsets.nbytes + titles.labels.nbytes)
