"""Data loading: batches of titles and labels on the device, one at a time on the CPU, many at a time on a GPU."""

from collections.abc import Iterable, Iterator
from itertools import groupby, islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from titles.core.prefetch import prefetch
from titles.data.batch import Batch, to_device
from titles.data.device_batches import DeviceBatches, GpuRagged
from titles.data.encoded_dataset import LabelledDataset
from titles.data.ragged import Ragged
from titles.data.sliced_arrays import Capacities, SlicedArray
from titles.nn.networks import Network

# The number of titles in a chunk of batches; each title takes a few kilobytes of GPU memory.
CHUNK_TITLES = 131_072
# The share of a GPU's free memory that titles may take; training needs the rest.
RESIDENT_MEMORY_FRACTION = 0.5

# The rows of the titles of one batch, int64 [titles].
BatchRows = NDArray[np.int64]


class BatchLoader:
    """Loads batches of labelled titles onto a device. Can be iterated any number of times."""

    def __init__(self, titles: LabelledDataset, subword_ids: Ragged, device: torch.device) -> None:
        self.titles, self.subword_ids, self.device = titles, subword_ids, device
        self.gpu_loader = GpuBatchLoader(titles, subword_ids, device) if device.type == "cuda" else None

    def __len__(self) -> int:
        return len(self.titles)

    def iterate(self, network: Network, batch_sampler: Iterable[BatchRows]) -> Iterator[tuple[Batch, Tensor]]:
        """Yield the batch of each element of `batch_sampler`, and its labels, int64 [titles], on the device."""
        if self.gpu_loader:
            yield from self.gpu_loader.iterate(network, batch_sampler)
            return
        for rows in batch_sampler:
            labels = torch.from_numpy(self.titles.labels[rows]).long()
            batch = network.batch(self.titles.titles.take(rows), self.subword_ids)
            yield to_device(batch, self.device), to_device(labels, self.device)


class GpuBatchLoader:
    """Makes many batches at once on a GPU.

    One CPU process makes batches of 250,000 titles a second (`benchmarks/batches.py`); a GPU trains on 2.4 million, so
    worker processes would need ten CPU cores for what the GPU does itself.

    The titles are resident in GPU memory if they fit; otherwise they are streamed and the next chunk is prefetched.
    """

    def __init__(self, titles: LabelledDataset, subword_ids: Ragged, device: torch.device) -> None:
        self.titles, self.device = titles, device
        self.subword_ids, self.capacities = GpuRagged.from_ragged(subword_ids, device), Capacities()
        self.resident: tuple[GpuRagged, Tensor] | None = None
        if _nbytes(titles) < RESIDENT_MEMORY_FRACTION * torch.cuda.mem_get_info(device)[0]:
            self.resident = GpuRagged.from_ragged(titles.titles, device), torch.tensor(titles.labels, device=device)

    def iterate(self, network: Network, batch_sampler: Iterable[BatchRows]) -> Iterator[tuple[Batch, Tensor]]:
        """See `BatchLoader.iterate`."""
        chunks = (
            map(self._gather_resident, chunk_batches(batch_sampler))
            if self.resident
            else prefetch(map(self._gather_streamed, chunk_batches(batch_sampler)))
        )
        for word_ids, lengths, labels in chunks:
            titles = DeviceBatches(word_ids, lengths, self.subword_ids, self.capacities)
            yield from zip(network.batches(titles), labels.split(), strict=True)

    def _gather_resident(self, batches: list[BatchRows]) -> tuple[SlicedArray, SlicedArray, SlicedArray]:
        """The word ids, title lengths and labels of a chunk of batches, from GPU memory."""
        titles, labels = self.resident  # type: ignore[misc]
        sizes = [len(rows) for rows in batches]
        rows = SlicedArray(to_device(torch.from_numpy(np.concatenate(batches)), self.device), sizes)
        return *titles.take(rows), SlicedArray(labels[rows.values].long(), sizes)

    def _gather_streamed(self, batches: list[BatchRows]) -> tuple[SlicedArray, SlicedArray, SlicedArray]:
        """The same, copied from the memory of the CPU."""
        rows, sizes = np.concatenate(batches), [len(rows) for rows in batches]
        taken = self.titles.titles.take(rows)
        ends = taken.offsets[np.cumsum(sizes)]
        arrays = taken.values, np.diff(taken.offsets), self.titles.labels[rows]
        values, lengths, labels = (to_device(torch.from_numpy(array), self.device).long() for array in arrays)
        return (
            SlicedArray(values, np.diff(ends, prepend=0).tolist()),
            SlicedArray(lengths, sizes),
            SlicedArray(labels, sizes),
        )


def chunk_batches(batch_sampler: Iterable[BatchRows]) -> Iterator[list[BatchRows]]:
    """Group consecutive batches of equal size into chunks of at most `CHUNK_TITLES` titles, or of a single batch."""
    for size, batches in groupby(batch_sampler, len):
        while chunk := list(islice(batches, max(1, CHUNK_TITLES // max(1, size)))):
            yield chunk


def _nbytes(titles: LabelledDataset) -> int:
    return int(titles.titles.values.nbytes + titles.titles.offsets.nbytes + titles.labels.nbytes)
