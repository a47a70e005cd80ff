"""Many batches of equally many titles made at once, as a GPU makes them of titles that live there."""

from dataclasses import dataclass
from functools import cached_property
from itertools import repeat

import torch
from torch import Tensor

from titles.data.batch import WordBatch
from titles.data.bigrams import NO_BIGRAM
from titles.data.padding import PADDING, PaddedBags, PaddedWindows, padded_offsets
from titles.data.ragged import Ragged
from titles.data.sliced_arrays import Capacities, SlicedArray


@dataclass(frozen=True)
class GpuRagged:
    """A `Ragged` on a GPU."""

    values: Tensor
    offsets: Tensor

    @classmethod
    def from_ragged(cls, ragged: Ragged, device: torch.device) -> "GpuRagged":
        return cls(*(torch.tensor(array, device=device) for array in (ragged.values, ragged.offsets)))

    def take(self, rows: SlicedArray) -> tuple[SlicedArray, SlicedArray]:
        """The values of the rows of every batch, int64, and the rows' lengths."""
        starts = self.offsets[rows.values]
        lengths = rows.with_values(self.offsets[rows.values + 1] - starts)
        sizes = lengths.sums()
        shifts = starts - (lengths.values.cumsum(0) - lengths.values)
        places = shifts.repeat_interleave(lengths.values, output_size=sum(sizes))
        places += torch.arange(len(places), device=places.device)
        return SlicedArray(self.values[places].long(), sizes), lengths


@dataclass(frozen=True)
class DeviceBatches:
    """The titles of many batches.

    numbers     those of their words, int64
    lengths     of each title, in words
    spelling    of every word
    capacities  what arrays of all stretches are padded to
    """

    word_ids: SlicedArray
    lengths: SlicedArray
    subword_ids: GpuRagged
    capacities: Capacities

    def words(self) -> list[WordBatch]:
        """For each batch what `Words.of` makes of words each in a bag of its own."""
        alone = self.word_ids.with_values(torch.ones_like(self.word_ids.values))
        words = self._bags("words", self.word_ids, alone, self.capacities.padded_size("words", self.word_ids))
        rows, _ = self._unique_words
        num_rows = self.capacities.padded_size("distinct words", rows)
        subwords = self._bags("subwords", *self.subword_ids.take(rows), num_rows)
        return list(map(WordBatch, words, repeat(num_rows), subwords))

    @cached_property
    def _unique_words(self) -> tuple[SlicedArray, Tensor]:
        return unique_per_batch(self.word_ids)

    def bigrams(self, keys: Tensor) -> list[PaddedBags]:
        """For each batch what `PairVectors.bags` makes."""
        words, lengths = self.word_ids.values, self.lengths.values
        keys = keys.to(words.device)
        # One more, where titles without words at the end would begin.
        pairs = torch.full((len(words) + 1,), NO_BIGRAM, device=words.device)
        pairs[1:-1] = words[:-1] << 32 | words[1:]
        pairs[lengths.cumsum(0) - lengths] = NO_BIGRAM
        places = torch.searchsorted(keys, pairs[:-1])
        known = torch.cat([keys, keys.new_full((1,), NO_BIGRAM - 1)])[places] == pairs[:-1]
        found = torch.zeros_like(lengths).index_add_(0, self._title_ids(), known.long())
        numbers = SlicedArray(places[known], self.word_ids.with_values(known).sums())
        return self._bags("pairs", numbers, self.lengths.with_values(found), self.lengths.sizes[0])

    def windows(self, kernel_size: int) -> list[PaddedWindows]:
        """For each batch what `Windows.of` makes, of words alone."""
        words, lengths, titles = self.word_ids.values, self.lengths.values, self.lengths.sizes[0]
        counts = self.lengths.with_values(torch.where(lengths > 0, lengths + (kernel_size - 1), 0))
        sizes = counts.sums()
        rows, places = self._unique_words
        num_rows, num_words = (
            self.capacities.padded_size("distinct words", rows),
            self.capacities.padded_size("words", self.word_ids),
        )
        stands = SlicedArray(words.new_full((kernel_size, sum(sizes)), num_rows), sizes)
        num_windows = self.capacities.padded_size(f"windows of {kernel_size}", stands)
        # Of every word the window in which it stands at the last place, among those of all batches.
        more = counts.values - lengths
        last = torch.arange(len(words), device=words.device) + (more.cumsum(0) - more)[self._title_ids()]
        positions = torch.arange(kernel_size, device=words.device)[:, None]
        windows = last + positions.flip(0)
        stands.values[positions, windows] = places
        of_words = self.word_ids.with_values(windows - stands.offsets()[self.word_ids.batch_ids()])
        owners = torch.arange(len(lengths), device=words.device) - self.lengths.offsets()[self.lengths.batch_ids()]
        of_titles = SlicedArray(owners.repeat_interleave(counts.values, output_size=sum(sizes)), sizes)
        made = zip(
            stands.split_padded(num_windows, num_rows),
            of_words.split_padded(num_words, 0),
            self.word_ids.with_values(places).split_padded(num_words, num_rows),
            of_titles.split_padded(num_windows, titles),
            padded_offsets(counts.values.view(len(sizes), titles), num_windows).unbind(),
            strict=True,
        )
        return [
            PaddedWindows(stand.T, of_word, place, num_rows, title, offsets, titles)
            for stand, of_word, place, title, offsets in made
        ]

    def _bags(self, name: str, indices: SlicedArray, lengths: SlicedArray, num_bags: int) -> list[PaddedBags]:
        rows, places = self._unique_words if indices is self.word_ids else unique_per_batch(indices)
        num_numbers, num_rows = (
            self.capacities.padded_size(name, indices),
            self.capacities.padded_size(f"distinct {name}", rows),
        )
        bags = torch.arange(len(lengths.values), device=places.device) - lengths.offsets()[lengths.batch_ids()]
        owners = bags.repeat_interleave(lengths.values, output_size=len(places))
        return list(
            map(
                PaddedBags,
                indices.split_padded(num_numbers, 0),
                indices.with_values(owners).split_padded(num_numbers, num_bags),
                lengths.split_padded(num_bags, 0),
                rows.split_padded(num_rows, PADDING),
                indices.with_values(places).split_padded(num_numbers, num_rows),
            )
        )

    def _title_ids(self) -> Tensor:
        """Whose each word is."""
        titles = torch.arange(len(self.lengths.values), device=self.word_ids.values.device)
        return titles.repeat_interleave(self.lengths.values, output_size=len(self.word_ids.values))


def unique_per_batch(indices: SlicedArray) -> tuple[SlicedArray, Tensor]:
    """The distinct numbers of each batch, ascending, and for each number which of them it is."""
    owners = indices.batch_ids()
    keys, places = torch.unique(owners << 32 | indices.values, return_inverse=True)
    rows = SlicedArray(keys & 0xFFFFFFFF, torch.bincount(keys >> 32, minlength=len(indices.sizes)).tolist())
    return rows, places - rows.offsets()[owners]
