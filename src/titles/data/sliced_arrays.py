"""Arrays of several batches concatenated in one tensor, so that a GPU works on all batches at once.

The CPU waits for the GPU whenever it reads the length of an array. For many batches at once it waits once.
"""

from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from titles.data.batch import to_device


@dataclass(frozen=True)
class SlicedArray:
    """The slices of all batches, concatenated along the last dimension, and the length of each slice."""

    values: Tensor
    sizes: list[int]

    def with_values(self, values: Tensor) -> "SlicedArray":
        """Other values of the same length, sliced in the same way."""
        return SlicedArray(values, self.sizes)

    def split(self) -> tuple[Tensor, ...]:
        """The slice of each batch."""
        return torch.split(self.values, self.sizes, -1)

    def split_padded(self, size: int, padding_value: int) -> tuple[Tensor, ...]:
        """The slice of each batch, padded to `size` with `padding_value`."""
        batch_ids = self.batch_ids()
        padded = self.values.new_full((len(self.sizes), *self.values.shape[:-1], size), padding_value)
        positions = torch.arange(len(batch_ids), device=batch_ids.device) - self.offsets()[batch_ids]
        padded.movedim(0, -2)[..., batch_ids, positions] = self.values
        return padded.unbind()

    def batch_ids(self) -> Tensor:
        """The index of the batch of each value, int64 [values]."""
        batches = torch.arange(len(self.sizes), device=self.values.device)
        return batches.repeat_interleave(self._to_tensor(self.sizes), output_size=sum(self.sizes))

    def offsets(self) -> Tensor:
        """Where the slice of each batch starts, int64 [batches]."""
        return self._to_tensor([0, *accumulate(self.sizes)][:-1])

    def sums(self) -> list[int]:
        """The sum of the values of each batch. Waits for the GPU."""
        zeros = torch.zeros(len(self.sizes), dtype=torch.int64, device=self.values.device)
        totals: list[int] = zeros.index_add_(0, self.batch_ids(), self.values.long()).tolist()
        return totals

    def _to_tensor(self, sizes: list[int]) -> Tensor:
        tensor: Tensor = to_device(torch.tensor(sizes), self.values.device)
        return tensor


class Capacities:
    """The sizes that arrays are padded to, by the name of the array.

    A size is an eighth more than the longest slice so far, so that after few batches all have the same. It is at least
    one, because nothing can be looked up in an empty array.
    """

    def __init__(self) -> None:
        self.sizes: dict[str, int] = {}

    def padded_size(self, name: str, array: SlicedArray) -> int:
        """The size for the slices of `array`, which also counts as the longest array `name` if it is."""
        longest = max(array.sizes)
        if longest > self.sizes.get(name, -1):
            self.sizes[name] = longest + longest // 8 + 1
        return self.sizes[name]
