"""A model folder put to use: titles in, categories with scores out."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from torch import Tensor

from titles.embedded import Lexicon
from titles.errors import InputError
from titles.model import load
from titles.networks import Network
from titles.predictions import mean, probabilities
from titles.ragged import Ragged
from titles.title_words import words_of
from titles.vocabulary import spell

BATCH_SIZE = 1024

Best = tuple[NDArray[np.int64], NDArray[np.float32]]


class Classifier:
    """`Classifier.load("models/mlp").predict(["Funda Galaxy J7 Prime"])`.

    Of several networks it gives the mean of their probabilities.
    """

    def __init__(self, networks: dict[str, Network], lexicon: Lexicon) -> None:
        self.networks, self.lexicon = networks, lexicon
        self.categories = np.array(lexicon.categories[: lexicon.trained_categories])
        self.numbers = {word: number for number, word in enumerate(lexicon.vocabulary)}
        for network in networks.values():
            network.eval()

    @classmethod
    def load(cls, folder: str | Path) -> "Classifier":
        """From a folder that train_mlp or train_cnn wrote, or from one that holds several such folders.

        Raises InputError for a folder that holds neither, or networks that do not know the same words and categories.
        """
        folders = model_folders(Path(folder))
        networks, lexicons = zip(*map(load, folders), strict=True)
        if any(lexicon != lexicons[0] for lexicon in lexicons):
            names = " and ".join(map(str, folders))
            raise InputError(f"{names} know different words or categories; train them on the same data")
        return cls({folder.name: network for folder, network in zip(folders, networks, strict=True)}, lexicons[0])

    def predict(self, titles: Sequence[str], top: int = 1) -> pd.DataFrame:
        """The `top` categories of each title, the best first: `top` rows a title of title, category and score."""
        texts = pa.array([title.encode(errors="replace").decode() for title in titles], pa.string())
        labels, scores = self.best(texts, top)
        columns = {"category": self.categories[labels.ravel()], "score": scores.ravel()}
        return pd.DataFrame({"title": np.repeat(np.array(titles, object), labels.shape[1])} | columns)

    def best(self, titles: pa.StringArray, top: int = 1) -> Best:
        """The labels of the `top` categories of each title and their scores, the best first, both [titles, top]."""
        found = self._room(len(titles), top)
        for rows, said in self._said(titles):
            _put(found, rows, mean(said))
        return found

    def compared(self, titles: pa.StringArray, top: int = 1) -> dict[str, Best]:
        """The same of each network, and of their mean, if there are several."""
        found = {name: self._room(len(titles), top) for name in [*self.networks, "mean"]}
        for rows, said in self._said(titles):
            for name, of_network in (said | {"mean": mean(said)}).items():
                _put(found[name], rows, of_network)
        return found if len(self.networks) > 1 else {name: found[name] for name in self.networks}

    def _room(self, titles: int, top: int) -> Best:
        shape = titles, min(top, len(self.categories))
        return np.empty(shape, np.int64), np.empty(shape, np.float32)

    def _said(self, titles: pa.StringArray) -> Iterator[tuple[slice, dict[str, Tensor]]]:
        """Of each network the probabilities of `BATCH_SIZE` titles at a time."""
        numbered, spelling = self._numbered(words_of(titles))
        for first in range(0, len(titles), BATCH_SIZE):
            rows = slice(first, min(first + BATCH_SIZE, len(titles)))
            yield rows, probabilities(self.networks, numbered.slice(rows.start, rows.stop), spelling)

    def _numbered(self, words: pa.ListArray) -> tuple[Ragged, Ragged]:
        """The titles by their words' numbers, and the spelling of the words that are not in the vocabulary."""
        encoded = words.flatten().dictionary_encode()
        distinct, vocabulary = encoded.dictionary.to_pylist(), len(self.numbers)
        unknown = [word for word in distinct if word not in self.numbers]
        numbers = np.array([self.numbers.get(word, -1) for word in distinct], np.int32)
        numbers[numbers < 0] = vocabulary + np.arange(len(unknown))
        titles = Ragged(numbers[encoded.indices.to_numpy()], words.offsets.to_numpy().astype(np.int64))
        spelled = spell(unknown, self.lexicon.subword_lengths, self.lexicon.subword_buckets)
        return titles, Ragged(spelled.values, np.concatenate([np.zeros(vocabulary, np.int64), spelled.offsets]))


def _put(found: Best, rows: slice, said: Tensor) -> None:
    labels, scores = found
    if labels.shape[1] == 1:
        # Several times as fast as torch.
        labels[rows] = said.numpy().argmax(1)[:, None]
        scores[rows] = np.take_along_axis(said.numpy(), labels[rows], 1)
    else:
        highest = said.topk(labels.shape[1])
        labels[rows], scores[rows] = highest.indices.numpy(), highest.values.numpy()


def model_folders(folder: Path) -> list[Path]:
    """The folder itself, if a network is in it, else those in it that have one. Raises InputError where none has."""
    if (folder / "network.json").exists():
        return [folder]
    # Not the hidden ones, which a stage may be writing.
    folders = sorted(file.parent for file in folder.glob("[!.]*/network.json"))
    if not folders:
        raise InputError(f"{folder} holds no network; give a model folder, such as models/mlp, or one with several")
    return folders
