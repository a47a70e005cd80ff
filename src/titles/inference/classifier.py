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
from titles.data.encoded_dataset import Vocabulary
from titles.data.ragged import Ragged
from titles.inference.forks import use_one_thread_after_fork
from titles.inference.predict import BATCH_SIZE, iter_probabilities, mean_probabilities
from titles.inference.threads import one_thread
from titles.inference.title_array import Titles, check_top, predictions_dataframe, title_array
from titles.inference.top_k import TopK, allocate_top_k, fill_top_k
from titles.nn.decision import check_objective, decision_weights
from titles.nn.networks import Network
from titles.persistence.model_folder import load, training_objective
from titles.text.encoder import TitleEncoder

# So few take longer on several threads, which wait for one another most of the time.
SINGLE_THREAD_TITLES = 32


class Classifier:
    """`Classifier.load("models/mlp").predict(["Funda Galaxy J7 Prime"])`.

    Of several networks it gives the mean of their probabilities. Which category comes first depends on the objective,
    see `titles.nn.decision`; scores are probabilities and do not.
    """

    def __init__(
        self, networks: dict[str, Network], vocabulary: Vocabulary, objective: str, encoder: TitleEncoder | None = None
    ) -> None:
        self.networks, self.vocabulary, self.objective = networks, vocabulary, objective
        self.weights = decision_weights(vocabulary, objective)
        self.categories = np.array(vocabulary.categories[: vocabulary.num_trained_categories])
        self.encoder = encoder or TitleEncoder(vocabulary)
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
        return cls(dict(zip(names, moved, strict=True)), lexicons[0], objective or training_objective(folders))

    def for_objective(self, objective: str | None) -> "Classifier":
        """The same networks, deciding for another objective; None is the objective they have."""
        check_objective(objective)
        return Classifier(self.networks, self.vocabulary, objective, self.encoder) if objective else self

    def predict(self, titles: Titles, top: int = 1) -> pd.DataFrame:
        """The `top` categories of each title, the best first: `top` rows a title of title, category and score.

        Titles are any sequence of text, such as a list, a Series, whose index the rows have, or an Arrow array. One
        that is None, or has no word the networks know anything of, has one row, with the reason in place of a category.
        Raises TypeError for anything else, and ValueError for a `top` below 1.
        """
        texts, most = title_array(titles), check_top(top)
        return predictions_dataframe(titles, texts, self.categories, self.top_k(texts, most))

    def top_k(self, titles: pa.StringArray, top: int = 1) -> TopK:
        """The labels of the `top` categories of each title and their scores, the best first, both [titles, top].

        The scores are NaN where a title has nothing to go on.
        """
        numbered, spelling = self.encoder.encode(titles)
        found = allocate_top_k(len(titles), top, self.categories)
        for rows, said in self._iter_probabilities(numbered, spelling):
            fill_top_k(found, rows, mean_probabilities(said).numpy(), self.weights)
        found[1][self.encoder.is_unknown(numbered, spelling)] = np.nan
        return found

    def top_k_per_network(self, titles: pa.StringArray, top: int = 1) -> dict[str, TopK]:
        """The same of each network, and of their mean, if there are several."""
        numbered, spelling = self.encoder.encode(titles)
        is_unknown = self.encoder.is_unknown(numbered, spelling)
        names = [*self.networks, "mean"] if len(self.networks) > 1 else self.networks
        found = {name: allocate_top_k(len(titles), top, self.categories) for name in names}
        for rows, said in self._iter_probabilities(numbered, spelling):
            for name, of_network in _with_mean(said).items():
                fill_top_k(found[name], rows, of_network.numpy(), self.weights)
        for _, scores in found.values():
            scores[is_unknown] = np.nan
        return found

    def probabilities(self, titles: pa.StringArray) -> dict[str, NDArray[np.float32]]:
        """By each network, and their mean, those of all categories, [titles, categories]: for few titles."""
        parts = [_with_mean(said) for _, said in self._iter_probabilities(*self.encoder.encode(titles))]
        return {name: np.concatenate([part[name].numpy() for part in parts]) for name in parts[0]}

    def _iter_probabilities(self, word_ids: Ragged, subword_ids: Ragged) -> Iterator[tuple[slice, dict[str, Tensor]]]:
        """Of some titles at a time which they are, and of each network their probabilities."""
        use_one_thread_after_fork()
        with one_thread() if len(word_ids) < SINGLE_THREAD_TITLES else nullcontext():
            for first in range(0, len(word_ids), BATCH_SIZE):
                batch = word_ids.slice(first, min(first + BATCH_SIZE, len(word_ids)))
                for rows, said in iter_probabilities(self.networks, batch, subword_ids):
                    yield slice(first + rows.start, first + rows.stop), said


def _with_mean(probs: dict[str, Tensor]) -> dict[str, Tensor]:
    return probs | {"mean": mean_probabilities(probs)} if len(probs) > 1 else probs


def model_folders(folder: Path) -> list[Path]:
    """The folder itself, if a network is in it, else those in it that have one. Raises InputError where none has."""
    if (folder / "network.json").exists():
        return [folder]
    # Not the hidden ones, which a stage may be writing.
    folders = sorted(file.parent for file in folder.glob("[!.]*/network.json"))
    if not folders:
        raise InputError(f"{folder} holds no network; give a model folder, such as models/mlp, or one with several")
    return folders
