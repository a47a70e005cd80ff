"""A model folder put to use: titles in, categories with scores out."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from titles.core.errors import InputError
from titles.data.encoded_dataset import Lexicon
from titles.data.ragged import Ragged
from titles.inference.forks import prepare_for_forks
from titles.inference.predict import BATCH_SIZE, mean, probabilities
from titles.inference.threads import one_thread
from titles.inference.title_array import Titles, check_top, table_of, title_array
from titles.inference.top_k import Best, put, room
from titles.nn.decision import check_objective, decision_weights
from titles.nn.networks import Network
from titles.persistence.model_folder import load, objective_of
from titles.text.encoder import Numbering

# So few take longer on several threads, which wait for one another most of the time.
FEW_TITLES = 32


class Classifier:
    """`Classifier.load("models/mlp").predict(["Funda Galaxy J7 Prime"])`.

    Of several networks it gives the mean of their probabilities. Which category comes first depends on the objective,
    see `titles.nn.decision`; scores are probabilities and do not.
    """

    def __init__(
        self, networks: dict[str, Network], lexicon: Lexicon, objective: str, numbering: Numbering | None = None
    ) -> None:
        self.networks, self.lexicon, self.objective = networks, lexicon, objective
        self.weights = decision_weights(lexicon, objective)
        self.categories = np.array(lexicon.categories[: lexicon.trained_categories])
        self.numbering = numbering or Numbering(lexicon)
        for network in networks.values():
            network.eval()

    @classmethod
    def load(cls, folder: str | Path, objective: str | None = None, device: str | torch.device = "cpu") -> "Classifier":
        """From a folder that train_mlp or train_cnn wrote, or from one that holds several such folders.

        `objective` is balanced_accuracy or accuracy, by default what train.objective was. Raises InputError for any
        other, or where there is no such folder, one is damaged, or they do not know the same words and categories.
        `device` is where it computes: the shell and the server pass that of TITLES_DEVICE.
        """
        check_objective(objective)
        folders = model_folders(Path(folder))
        # In memory, as a model in use must outlive a change of its files.
        networks, lexicons = zip(*(load(one, mmap=False) for one in folders), strict=True)
        if any(lexicon != lexicons[0] for lexicon in lexicons):
            together = " and ".join(map(str, folders))
            raise InputError(f"{together} know different words or categories; train them on the same data")
        names = [folder.resolve().name for folder in folders]
        if "mean" in names:
            raise InputError(f"{folder} holds a network called mean, which is what all together are; rename its folder")
        moved = [network.to(device) for network in networks]
        return cls(dict(zip(names, moved, strict=True)), lexicons[0], objective or objective_of(folders))

    def for_objective(self, objective: str | None) -> "Classifier":
        """The same networks, deciding for another objective; None is the objective they have."""
        check_objective(objective)
        return Classifier(self.networks, self.lexicon, objective, self.numbering) if objective else self

    def predict(self, titles: Titles, top: int = 1) -> pd.DataFrame:
        """The `top` categories of each title, the best first: `top` rows a title of title, category and score.

        Titles are any sequence of text, such as a list, a Series, whose index the rows have, or an Arrow array. One
        that is None, or has no word the networks know anything of, has one row, with the reason in place of a category.
        Raises TypeError for anything else, and ValueError for a `top` below 1.
        """
        texts, most = title_array(titles), check_top(top)
        return table_of(titles, texts, self.categories, self.best(texts, most))

    def best(self, titles: pa.StringArray, top: int = 1) -> Best:
        """The labels of the `top` categories of each title and their scores, the best first, both [titles, top].

        The scores are NaN where a title has nothing to go on.
        """
        numbered, spelling = self.numbering.of(titles)
        found = room(len(titles), top, self.categories)
        for rows, said in self._said(numbered, spelling):
            put(found, rows, mean(said).numpy(), self.weights)
        found[1][self.numbering.is_unknown(numbered, spelling)] = np.nan
        return found

    def compared(self, titles: pa.StringArray, top: int = 1) -> dict[str, Best]:
        """The same of each network, and of their mean, if there are several."""
        numbered, spelling = self.numbering.of(titles)
        is_unknown = self.numbering.is_unknown(numbered, spelling)
        names = [*self.networks, "mean"] if len(self.networks) > 1 else self.networks
        found = {name: room(len(titles), top, self.categories) for name in names}
        for rows, said in self._said(numbered, spelling):
            for name, of_network in _with_mean(said).items():
                put(found[name], rows, of_network.numpy(), self.weights)
        for _, scores in found.values():
            scores[is_unknown] = np.nan
        return found

    def probabilities(self, titles: pa.StringArray) -> dict[str, NDArray[np.float32]]:
        """By each network, and their mean, those of all categories, [titles, categories]: for few titles."""
        parts = [_with_mean(said) for _, said in self._said(*self.numbering.of(titles))]
        return {name: np.concatenate([part[name].numpy() for part in parts]) for name in parts[0]}

    def _said(self, numbered: Ragged, spelling: Ragged) -> Iterator[tuple[slice, dict[str, Tensor]]]:
        """Of some titles at a time which they are, and of each network their probabilities."""
        prepare_for_forks()
        with one_thread() if len(numbered) < FEW_TITLES else nullcontext():
            for first in range(0, len(numbered), BATCH_SIZE):
                batch = numbered.slice(first, min(first + BATCH_SIZE, len(numbered)))
                for rows, said in probabilities(self.networks, batch, spelling):
                    yield slice(first + rows.start, first + rows.stop), said


def _with_mean(said: dict[str, Tensor]) -> dict[str, Tensor]:
    return said | {"mean": mean(said)} if len(said) > 1 else said


def model_folders(folder: Path) -> list[Path]:
    """The folder itself, if a network is in it, else those in it that have one. Raises InputError where none has."""
    if (folder / "network.json").exists():
        return [folder]
    # Not the hidden ones, which a stage may be writing.
    folders = sorted(file.parent for file in folder.glob("[!.]*/network.json"))
    if not folders:
        raise InputError(f"{folder} holds no network; give a model folder, such as models/mlp, or one with several")
    return folders
