"""Many batches of equal size made at once on a GPU, from titles in its memory."""

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
        """Copy both arrays to `device`."""
        return cls(*(torch.tensor(array, device=device) for array in (ragged.values, ragged.offsets)))

    def take(self, rows: SlicedArray) -> tuple[SlicedArray, SlicedArray]:
        """The values of the rows of every batch, int64, and the lengths of the rows."""
        starts = self.offsets[rows.values]
        lengths = rows.with_values(self.offsets[rows.values + 1] - starts)
        sizes = lengths.sums()
        shifts = starts - (lengths.values.cumsum(0) - lengths.values)
        positions = shifts.repeat_interleave(lengths.values, output_size=sum(sizes))
        positions += torch.arange(len(positions), device=positions.device)
        return SlicedArray(self.values[positions].long(), sizes), lengths


@dataclass(frozen=True)
class DeviceBatches:
    """The titles of many batches.

    word_ids      int64, the words of all titles
    lengths       int64, the number of words of each title; every batch has the same number of titles
    subword_ids   the subwords of each word, vocabulary or not
    capacities    the sizes that arrays are padded to, the same object for all batches of a training
    """

    word_ids: SlicedArray
    lengths: SlicedArray
    subword_ids: GpuRagged
    capacities: Capacities

    def words(self) -> list[WordBatch]:
        """For each batch what `WordBatch.from_ids` makes, padded, with one bag per word."""
        ones = self.word_ids.with_values(torch.ones_like(self.word_ids.values))
        words = self._bags("words", self.word_ids, ones, self.capacities.padded_size("words", self.word_ids))
        rows, _ = self._unique_words
        num_rows = self.capacities.padded_size("distinct words", rows)
        subwords = self._bags("subwords", *self.subword_ids.take(rows), num_rows)
        return list(map(WordBatch, words, repeat(num_rows), subwords))

    @cached_property
    def _unique_words(self) -> tuple[SlicedArray, Tensor]:
        return unique_per_batch(self.word_ids)

    def bigrams(self, keys: Tensor) -> list[PaddedBags]:
        """For each batch what `BigramVectors.bags` makes, padded; `keys` int64 [bigrams], ascending."""
        words, lengths = self.word_ids.values, self.lengths.values
        keys = keys.to(words.device)
        # One more than words, because empty titles at the end start after the last word.
        bigrams = torch.full((len(words) + 1,), NO_BIGRAM, device=words.device)
        bigrams[1:-1] = words[:-1] << 32 | words[1:]
        bigrams[lengths.cumsum(0) - lengths] = NO_BIGRAM
        positions = torch.searchsorted(keys, bigrams[:-1])
        has_vector = torch.cat([keys, keys.new_full((1,), NO_BIGRAM - 1)])[positions] == bigrams[:-1]
        counts = torch.zeros_like(lengths).index_add_(0, self._title_ids(), has_vector.long())
        indices = SlicedArray(positions[has_vector], self.word_ids.with_values(has_vector).sums())
        return self._bags("bigrams", indices, self.lengths.with_values(counts), self.lengths.sizes[0])

    def windows(self, kernel_size: int) -> list[PaddedWindows]:
        """For each batch what `Windows.from_bags` makes, padded."""
        words, lengths, titles = self.word_ids.values, self.lengths.values, self.lengths.sizes[0]
        counts = self.lengths.with_values(torch.where(lengths > 0, lengths + (kernel_size - 1), 0))
        sizes = counts.sums()
        rows, inverse = self._unique_words
        num_rows = self.capacities.padded_size("distinct words", rows)
        num_words = self.capacities.padded_size("words", self.word_ids)
        window_words = SlicedArray(words.new_full((kernel_size, sum(sizes)), num_rows), sizes)
        num_windows = self.capacities.padded_size(f"windows of {kernel_size}", window_words)
        # The window with each word at the last position, among the windows of all batches.
        additional = counts.values - lengths
        last = torch.arange(len(words), device=words.device)
        last += (additional.cumsum(0) - additional)[self._title_ids()]
        positions = torch.arange(kernel_size, device=words.device)[:, None]
        windows = last + positions.flip(0)
        window_words.values[positions, windows] = inverse
        word_windows = self.word_ids.with_values(windows - window_words.offsets()[self.word_ids.batch_ids()])
        title_ids = _positions_in_slice(self.lengths)
        window_titles = SlicedArray(title_ids.repeat_interleave(counts.values, output_size=sum(sizes)), sizes)
        columns = zip(
            window_words.split_padded(num_windows, num_rows),
            word_windows.split_padded(num_words, 0),
            self.word_ids.with_values(inverse).split_padded(num_words, num_rows),
            window_titles.split_padded(num_windows, titles),
            padded_offsets(counts.values.view(len(sizes), titles), num_windows).unbind(),
            strict=True,
        )
        return [
            PaddedWindows(of_window.T, of_word, of_row, num_rows, of_title, offsets, titles)
            for of_window, of_word, of_row, of_title, offsets in columns
        ]

    def _bags(self, name: str, indices: SlicedArray, lengths: SlicedArray, num_bags: int) -> list[PaddedBags]:
        """For each batch its bags, padded to `num_bags`; `lengths` is the number of indices in each bag."""
        rows, inverse = self._unique_words if indices is self.word_ids else unique_per_batch(indices)
        num_indices = self.capacities.padded_size(name, indices)
        num_rows = self.capacities.padded_size(f"distinct {name}", rows)
        bag_ids = _positions_in_slice(lengths).repeat_interleave(lengths.values, output_size=len(inverse))
        return list(
            map(
                PaddedBags,
                indices.split_padded(num_indices, 0),
                indices.with_values(bag_ids).split_padded(num_indices, num_bags),
                lengths.split_padded(num_bags, 0),
                rows.split_padded(num_rows, PADDING),
                indices.with_values(inverse).split_padded(num_indices, num_rows),
            )
        )

    def _title_ids(self) -> Tensor:
        """The title of each word, counted through all batches, int64 [words]."""
        titles = torch.arange(len(self.lengths.values), device=self.word_ids.values.device)
        return titles.repeat_interleave(self.lengths.values, output_size=len(self.word_ids.values))


def _positions_in_slice(array: SlicedArray) -> Tensor:
    """The position of each value in the slice of its batch."""
    return torch.arange(len(array.values), device=array.values.device) - array.offsets()[array.batch_ids()]


def unique_per_batch(indices: SlicedArray) -> tuple[SlicedArray, Tensor]:
    """The distinct indices of each batch, ascending, and the position of each index among those of its batch."""
    batch_ids = indices.batch_ids()
    keys, inverse = torch.unique(batch_ids << 32 | indices.values, return_inverse=True)
    rows = SlicedArray(keys & 0xFFFFFFFF, torch.bincount(keys >> 32, minlength=len(indices.sizes)).tolist())
    return rows, inverse - rows.offsets()[batch_ids]
