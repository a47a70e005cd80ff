"""Arrays of which many batches each have a part.

How long an array is that a GPU made, the processor must wait to hear. Of many batches at once it hears it seldom.
"""

from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from titles.data.batch import to_device


@dataclass(frozen=True)
class SlicedArray:
    """The parts of all batches one after another along the last dimension, and how long each is."""

    values: Tensor
    sizes: list[int]

    def with_values(self, values: Tensor) -> "SlicedArray":
        """Other values, one for each of these."""
        return SlicedArray(values, self.sizes)

    def split(self) -> tuple[Tensor, ...]:
        """The part of each batch."""
        return torch.split(self.values, self.sizes, -1)

    def split_padded(self, size: int, padding_value: int) -> tuple[Tensor, ...]:
        """The part of each batch, padded to `size`."""
        owners = self.batch_ids()
        found = self.values.new_full((len(self.sizes), *self.values.shape[:-1], size), padding_value)
        places = torch.arange(len(owners), device=owners.device) - self.offsets()[owners]
        found.movedim(0, -2)[..., owners, places] = self.values
        return found.unbind()

    def batch_ids(self) -> Tensor:
        """For each value, whose it is."""
        batches = torch.arange(len(self.sizes), device=self.values.device)
        return batches.repeat_interleave(self._to_tensor(self.sizes), output_size=sum(self.sizes))

    def offsets(self) -> Tensor:
        """For each batch, how many values the batches before it have."""
        return self._to_tensor([0, *accumulate(self.sizes)][:-1])

    def sums(self) -> list[int]:
        """For each batch, the sum of its values."""
        zeros = torch.zeros(len(self.sizes), dtype=torch.int64, device=self.values.device)
        totals: list[int] = zeros.index_add_(0, self.batch_ids(), self.values.long()).tolist()
        return totals

    def _to_tensor(self, numbers: list[int]) -> Tensor:
        there: Tensor = to_device(torch.tensor(numbers), self.values.device)
        return there


class Capacities:
    """The sizes arrays are padded to: an eighth more than the longest so far, so that soon all have the same.

    And one more, as nothing can be looked up in an array without any.
    """

    def __init__(self) -> None:
        self.sizes: dict[str, int] = {}

    def padded_size(self, name: str, array: SlicedArray) -> int:
        """For the parts of that name."""
        longest = max(array.sizes)
        if longest > self.sizes.get(name, -1):
            self.sizes[name] = longest + longest // 8 + 1
        return self.sizes[name]
