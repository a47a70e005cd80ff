"""Many batches of equally many titles made at once, as a GPU makes them of titles that live there."""

from dataclasses import dataclass
from functools import cached_property
from itertools import repeat

import torch
from torch import Tensor

from titles.data.batch import Words
from titles.data.bigrams import NO_PAIR
from titles.data.padding import PADDING, PaddedBags, PaddedWindows, padded_offsets
from titles.data.ragged import Ragged
from titles.data.sliced_arrays import Capacities, Parts


@dataclass(frozen=True)
class GpuRagged:
    """A `Ragged` on a GPU."""

    values: Tensor
    offsets: Tensor

    @classmethod
    def of(cls, ragged: Ragged, device: torch.device) -> "GpuRagged":
        return cls(*(torch.tensor(array, device=device) for array in (ragged.values, ragged.offsets)))

    def take(self, rows: Parts) -> tuple[Parts, Parts]:
        """The values of the rows of every batch, int64, and the rows' lengths."""
        starts = self.offsets[rows.values]
        lengths = rows.like(self.offsets[rows.values + 1] - starts)
        sizes = lengths.sums()
        shifts = starts - (lengths.values.cumsum(0) - lengths.values)
        places = shifts.repeat_interleave(lengths.values, output_size=sum(sizes))
        places += torch.arange(len(places), device=places.device)
        return Parts(self.values[places].long(), sizes), lengths


@dataclass(frozen=True)
class Stretch:
    """The titles of many batches.

    numbers     those of their words, int64
    lengths     of each title, in words
    spelling    of every word
    capacities  what arrays of all stretches are padded to
    """

    numbers: Parts
    lengths: Parts
    spelling: GpuRagged
    capacities: Capacities

    def words(self) -> list[Words]:
        """For each batch what `Words.of` makes of words each in a bag of its own."""
        alone = self.numbers.like(torch.ones_like(self.numbers.values))
        words = self._bags("words", self.numbers, alone, self.capacities.of("words", self.numbers))
        rows, _ = self._distinct
        subwords = self._bags("subwords", *self.spelling.take(rows), self.capacities.of("distinct words", rows))
        return list(map(Words, words, repeat(None), subwords))

    @cached_property
    def _distinct(self) -> tuple[Parts, Tensor]:
        return distinct(self.numbers)

    def pairs(self, keys: Tensor) -> list[PaddedBags]:
        """For each batch what `PairVectors.bags` makes."""
        words, lengths = self.numbers.values, self.lengths.values
        keys = keys.to(words.device)
        # One more, where titles without words at the end would begin.
        pairs = torch.full((len(words) + 1,), NO_PAIR, device=words.device)
        pairs[1:-1] = words[:-1] << 32 | words[1:]
        pairs[lengths.cumsum(0) - lengths] = NO_PAIR
        places = torch.searchsorted(keys, pairs[:-1])
        known = torch.cat([keys, keys.new_full((1,), NO_PAIR - 1)])[places] == pairs[:-1]
        found = torch.zeros_like(lengths).index_add_(0, self._titles(), known.long())
        numbers = Parts(places[known], self.numbers.like(known).sums())
        return self._bags("pairs", numbers, self.lengths.like(found), self.lengths.sizes[0])

    def windows(self, width: int) -> list[PaddedWindows]:
        """For each batch what `Windows.of` makes, of words alone."""
        words, lengths, titles = self.numbers.values, self.lengths.values, self.lengths.sizes[0]
        counts = self.lengths.like(torch.where(lengths > 0, lengths + (width - 1), 0))
        sizes = counts.sums()
        rows, places = self._distinct
        num_rows, num_words = self.capacities.of("distinct words", rows), self.capacities.of("words", self.numbers)
        stands = Parts(words.new_full((width, sum(sizes)), num_rows), sizes)
        num_windows = self.capacities.of(f"windows of {width}", stands)
        # Of every word the window in which it stands at the last place, among those of all batches.
        more = counts.values - lengths
        last = torch.arange(len(words), device=words.device) + (more.cumsum(0) - more)[self._titles()]
        positions = torch.arange(width, device=words.device)[:, None]
        windows = last + positions.flip(0)
        stands.values[positions, windows] = places
        of_words = self.numbers.like(windows - stands.before()[self.numbers.owners()])
        owners = torch.arange(len(lengths), device=words.device) - self.lengths.before()[self.lengths.owners()]
        of_titles = Parts(owners.repeat_interleave(counts.values, output_size=sum(sizes)), sizes)
        made = zip(
            stands.padded(num_windows, num_rows),
            of_words.padded(num_words, 0),
            self.numbers.like(places).padded(num_words, num_rows),
            of_titles.padded(num_windows, titles),
            padded_offsets(counts.values.view(len(sizes), titles), num_windows).unbind(),
            strict=True,
        )
        return [
            PaddedWindows(stand.T, of_word, place, num_rows, title, offsets, titles)
            for stand, of_word, place, title, offsets in made
        ]

    def _bags(self, what: str, numbers: Parts, lengths: Parts, num_bags: int) -> list[PaddedBags]:
        rows, places = self._distinct if numbers is self.numbers else distinct(numbers)
        num_numbers, num_rows = self.capacities.of(what, numbers), self.capacities.of(f"distinct {what}", rows)
        bags = torch.arange(len(lengths.values), device=places.device) - lengths.before()[lengths.owners()]
        owners = bags.repeat_interleave(lengths.values, output_size=len(places))
        return list(
            map(
                PaddedBags,
                numbers.padded(num_numbers, 0),
                numbers.like(owners).padded(num_numbers, num_bags),
                lengths.padded(num_bags, 0),
                rows.padded(num_rows, PADDING),
                numbers.like(places).padded(num_numbers, num_rows),
            )
        )

    def _titles(self) -> Tensor:
        """Whose each word is."""
        titles = torch.arange(len(self.lengths.values), device=self.numbers.values.device)
        return titles.repeat_interleave(self.lengths.values, output_size=len(self.numbers.values))


def distinct(numbers: Parts) -> tuple[Parts, Tensor]:
    """The distinct numbers of each batch, ascending, and for each number which of them it is."""
    owners = numbers.owners()
    keys, places = torch.unique(owners << 32 | numbers.values, return_inverse=True)
    rows = Parts(keys & 0xFFFFFFFF, torch.bincount(keys >> 32, minlength=len(numbers.sizes)).tolist())
    return rows, places - rows.before()[owners]
