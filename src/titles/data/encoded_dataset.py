"""data/embedded: titles as the numbers of their words, categories as labels. Reading it takes NumPy alone.

    vocabulary.json                   what the numbers mean
    subword_ids.{values,offsets}.npy  the subword buckets of every word, by number: the vocabulary, then all other words
    bigrams.npy                      the keys of the pairs of words that have a vector of their own, int64, ascending
    SPLIT.{values,offsets}.npy     the numbers of each title's words
    SPLIT.labels.npy               the label of each title, int32; unlabelled has none
    SPLIT.reliable.npy             whether someone reviewed that label, bool; as above
    sources.csv                    the files that all titles come from

Titles stand in the order of the Parquet file they come from.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from titles.core.errors import InputError
from titles.data.ragged import Ragged


@dataclass(frozen=True)
class Vocabulary:
    """What the numbers mean.

    Words below `len(vocabulary)` have a vector of their own; all others are known by their spelling alone.
    Labels from `trained_categories` up belong to categories that train lacks, which no network can name.
    `category_counts` holds the number of training titles of each trained category.
    """

    categories: list[str]
    category_counts: list[int]
    subword_lengths: list[int]
    subword_buckets: int
    words: list[str]

    @property
    def num_trained_categories(self) -> int:
        return len(self.category_counts)

    @property
    def log_shares(self) -> NDArray[np.float32]:
        """The log of each trained category's share of the training titles, [trained categories]."""
        counts = np.array(self.category_counts, np.float64)
        log_shares: NDArray[np.float32] = np.log(counts / counts.sum()).astype(np.float32)
        return log_shares

    def save(self, folder: Path) -> None:
        content = json.dumps(asdict(self), ensure_ascii=False, indent=0)
        (folder / "vocabulary.json").write_text(content + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Vocabulary":
        return cls(**json.loads((folder / "vocabulary.json").read_text(encoding="utf-8")))


@dataclass(frozen=True)
class LabelledDataset:
    """The titles of a split, their labels, and whether someone reviewed these, [titles] each."""

    titles: Ragged
    labels: NDArray[np.int32]
    reliable: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.integer]) -> "LabelledDataset":
        """The titles with these numbers, in this order, in memory."""
        return LabelledDataset(self.titles.take(rows), self.labels[rows], self.reliable[rows])

    @classmethod
    def load(cls, folder: Path, split: str) -> "LabelledDataset":
        labels, reliable = (np.load(folder / f"{split}.{name}.npy", mmap_mode="r") for name in ("labels", "reliable"))
        return cls(Ragged.load(folder, split), labels, reliable)


def required_files(folder: Path, *splits: str) -> list[Path]:
    """The files of `folder` that these labelled splits need."""
    arrays = [f"subword_ids.{part}" for part in ("values", "offsets")]
    arrays += [f"{split}.{part}" for split in splits for part in ("values", "offsets", "labels", "reliable")]
    return [folder / "vocabulary.json", folder / "bigrams.npy", *(folder / f"{name}.npy" for name in arrays)]


def check_encoded_dataset(folder: Path, *splits: str) -> None:
    """Raise InputError unless `folder` holds what this version reads of these labelled splits."""
    for file in required_files(folder, *splits):
        try:
            np.load(file, mmap_mode="r") if file.suffix == ".npy" else Vocabulary.load(folder)
        except (OSError, ValueError, TypeError) as error:
            raise InputError(
                f"{folder} is not what this version of the stage embed writes ({file.name}: {error}); "
                "run the stage embed again"
            ) from error
