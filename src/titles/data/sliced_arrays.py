"""Arrays of which many batches each have a part.

How long an array is that a GPU made, the processor must wait to hear. Of many batches at once it hears it seldom.
"""

from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from titles.data.batch import moved


@dataclass(frozen=True)
class Parts:
    """The parts of all batches one after another along the last dimension, and how long each is."""

    values: Tensor
    sizes: list[int]

    def like(self, values: Tensor) -> "Parts":
        """Other values, one for each of these."""
        return Parts(values, self.sizes)

    def each(self) -> tuple[Tensor, ...]:
        """The part of each batch."""
        return torch.split(self.values, self.sizes, -1)

    def padded(self, size: int, padding: int) -> tuple[Tensor, ...]:
        """The part of each batch, padded to `size`."""
        owners = self.owners()
        found = self.values.new_full((len(self.sizes), *self.values.shape[:-1], size), padding)
        places = torch.arange(len(owners), device=owners.device) - self.before()[owners]
        found.movedim(0, -2)[..., owners, places] = self.values
        return found.unbind()

    def owners(self) -> Tensor:
        """For each value, whose it is."""
        batches = torch.arange(len(self.sizes), device=self.values.device)
        return batches.repeat_interleave(self._on_device(self.sizes), output_size=sum(self.sizes))

    def before(self) -> Tensor:
        """For each batch, how many values the batches before it have."""
        return self._on_device([0, *accumulate(self.sizes)][:-1])

    def sums(self) -> list[int]:
        """For each batch, the sum of its values."""
        zeros = torch.zeros(len(self.sizes), dtype=torch.int64, device=self.values.device)
        totals: list[int] = zeros.index_add_(0, self.owners(), self.values.long()).tolist()
        return totals

    def _on_device(self, numbers: list[int]) -> Tensor:
        there: Tensor = moved(torch.tensor(numbers), self.values.device)
        return there


class Capacities:
    """The sizes arrays are padded to: an eighth more than the longest so far, so that soon all have the same.

    And one more, as nothing can be looked up in an array without any.
    """

    def __init__(self) -> None:
        self.sizes: dict[str, int] = {}

    def of(self, what: str, parts: Parts) -> int:
        """For the parts of that name."""
        longest = max(parts.sizes)
        if longest > self.sizes.get(what, -1):
            self.sizes[what] = longest + longest // 8 + 1
        return self.sizes[what]
