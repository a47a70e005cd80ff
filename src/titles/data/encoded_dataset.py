"""The folder data/embedded: titles as word ids, categories as labels. NumPy alone reads it.

    vocabulary.json                    words, categories and subword settings
    subword_ids.{values,offsets}.npy   the subwords of every word id: vocabulary words, then all other words
    bigrams.npy                        the keys of the bigrams that have a vector, int64, ascending
    SPLIT.{values,offsets}.npy         the word ids of each title
    SPLIT.labels.npy                   the label of each title, int32; not for the split unlabelled
    SPLIT.reliable.npy                 whether a person reviewed the label, bool; not for the split unlabelled
    sources.csv                        the raw files

Titles have the order of their Parquet file.
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
    """The meaning of word ids and labels.

    categories         the name of each label. Labels from `num_trained_categories` on have no training title, so that
                       no network can predict them
    category_counts    the number of training titles of each trained category
    subword_lengths    the lengths of the character n-grams
    subword_buckets    the number of hash buckets for n-grams
    words              the word of each word id that has an own vector; higher ids have subwords alone
    """

    categories: list[str]
    category_counts: list[int]
    subword_lengths: list[int]
    subword_buckets: int
    words: list[str]

    @property
    def num_trained_categories(self) -> int:
        """The number of categories with training titles, which come first in `categories`."""
        return len(self.category_counts)

    @property
    def log_shares(self) -> NDArray[np.float32]:
        """The log of the share of each trained category in the training titles, float32 [trained categories]."""
        counts = np.array(self.category_counts, np.float64)
        log_shares: NDArray[np.float32] = np.log(counts / counts.sum()).astype(np.float32)
        return log_shares

    def save(self, folder: Path) -> None:
        """Write vocabulary.json."""
        content = json.dumps(asdict(self), ensure_ascii=False, indent=0)
        (folder / "vocabulary.json").write_text(content + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Vocabulary":
        """Read vocabulary.json."""
        return cls(**json.loads((folder / "vocabulary.json").read_text(encoding="utf-8")))


@dataclass(frozen=True)
class LabelledDataset:
    """The titles of a split, their labels, and whether a person reviewed each label; [titles] each."""

    titles: Ragged
    labels: NDArray[np.int32]
    reliable: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.integer]) -> "LabelledDataset":
        """Copy the titles with the indices `rows`, in that order, to memory."""
        return LabelledDataset(self.titles.take(rows), self.labels[rows], self.reliable[rows])

    @classmethod
    def load(cls, folder: Path, split: str) -> "LabelledDataset":
        """Memory-map the arrays of a split."""
        labels, reliable = (np.load(folder / f"{split}.{name}.npy", mmap_mode="r") for name in ("labels", "reliable"))
        return cls(Ragged.load(folder, split), labels, reliable)


def required_files(folder: Path, *splits: str) -> list[Path]:
    """The files of `folder` that training or evaluation on the labelled `splits` reads."""
    arrays = [f"subword_ids.{field}" for field in ("values", "offsets")]
    arrays += [f"{split}.{field}" for split in splits for field in ("values", "offsets", "labels", "reliable")]
    return [folder / "vocabulary.json", folder / "bigrams.npy", *(folder / f"{name}.npy" for name in arrays)]


def check_encoded_dataset(folder: Path, *splits: str) -> None:
    """Raise InputError unless this version can read every file of the labelled `splits` in `folder`."""
    for file in required_files(folder, *splits):
        try:
            np.load(file, mmap_mode="r") if file.suffix == ".npy" else Vocabulary.load(folder)
        except (OSError, ValueError, TypeError) as error:
            raise InputError(
                f"{folder} is not what this version of the stage embed writes ({file.name}: {error}); "
                "run the stage embed again"
            ) from error
