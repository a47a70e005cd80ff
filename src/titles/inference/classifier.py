"""`Classifier`: a trained model that predicts the categories of titles, with scores."""

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

# Below this many titles one thread is faster than several, which mostly wait for one another.
SINGLE_THREAD_TITLES = 32


class Classifier:
    """A trained model: `Classifier.load("models/mlp").predict(["Funda Galaxy J7 Prime"])`.

    With several networks it uses the mean of their probabilities. The objective decides which category comes first, see
    `titles.nn.decision`; scores are probabilities and do not depend on it.
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
        """Load a model folder that train_mlp or train_cnn wrote, or all model folders in a folder.

        `objective` is balanced_accuracy or accuracy; by default it is train.objective of the training. The networks
        compute on `device`; the shell commands and the server pass the device of TITLES_DEVICE. Raises InputError if
        the objective does not exist, there is no model folder, one is damaged, or their vocabularies differ.
        """
        check_objective(objective)
        folders = model_folders(Path(folder))
        # Copied to memory, because the files may change while the model is in use.
        networks, vocabularies = zip(*(load(one, mmap=False) for one in folders), strict=True)
        if any(vocabulary != vocabularies[0] for vocabulary in vocabularies):
            paths = " and ".join(map(str, folders))
            raise InputError(f"{paths} have different words or categories; train them on the same data")
        names = [folder.resolve().name for folder in folders]
        if "mean" in names:
            raise InputError(f"{folder} holds a network called mean, the name of the average of all; rename its folder")
        on_device = [network.to(device) for network in networks]
        objective = objective or training_objective(folders)
        return cls(dict(zip(names, on_device, strict=True)), vocabularies[0], objective)

    def for_objective(self, objective: str | None) -> "Classifier":
        """Return a classifier with the same networks and another objective; None returns this one."""
        check_objective(objective)
        return Classifier(self.networks, self.vocabulary, objective, self.encoder) if objective else self

    def predict(self, titles: Titles, top: int = 1) -> pd.DataFrame:
        """Predict the `top` categories of each title: one row per category, the best first.

        The columns are title, category, score and reason. Titles are any sequence of text: a list, an array, an Arrow
        array, or a Series, which passes its index on to the rows. A title that is None or has no usable word (see
        `titles.inference.top_k`) has one row with a reason and no category. Raises TypeError for other titles, and
        ValueError for a `top` below 1.
        """
        texts, num_categories = title_array(titles), check_top(top)
        return predictions_dataframe(titles, texts, self.categories, self.top_k(texts, num_categories))

    def top_k(self, titles: pa.StringArray, top: int = 1) -> TopK:
        """Return the labels and scores of the `top` categories of each title, the best first, both [titles, top].

        The scores of a title without a usable word are NaN.
        """
        word_ids, subword_ids = self.encoder.encode(titles)
        out = allocate_top_k(len(titles), top, self.categories)
        for rows, probs in self._iter_probabilities(word_ids, subword_ids):
            fill_top_k(out, rows, mean_probabilities(probs).numpy(), self.weights)
        out[1][self.encoder.is_unknown(word_ids, subword_ids)] = np.nan
        return out

    def top_k_per_network(self, titles: pa.StringArray, top: int = 1) -> dict[str, TopK]:
        """Return `top_k` of each network and, if there are several, of their mean."""
        word_ids, subword_ids = self.encoder.encode(titles)
        is_unknown = self.encoder.is_unknown(word_ids, subword_ids)
        names = [*self.networks, "mean"] if len(self.networks) > 1 else self.networks
        out = {name: allocate_top_k(len(titles), top, self.categories) for name in names}
        for rows, probs in self._iter_probabilities(word_ids, subword_ids):
            for name, network_probs in _with_mean(probs).items():
                fill_top_k(out[name], rows, network_probs.numpy(), self.weights)
        for _, scores in out.values():
            scores[is_unknown] = np.nan
        return out

    def probabilities(self, titles: pa.StringArray) -> dict[str, NDArray[np.float32]]:
        """Return all probabilities by each network and their mean, [titles, categories]. Meant for few titles."""
        chunks = [_with_mean(probs) for _, probs in self._iter_probabilities(*self.encoder.encode(titles))]
        return {name: np.concatenate([chunk[name].numpy() for chunk in chunks]) for name in chunks[0]}

    def _iter_probabilities(self, word_ids: Ragged, subword_ids: Ragged) -> Iterator[tuple[slice, dict[str, Tensor]]]:
        """Iterate over chunks of the titles: the rows of the chunk, and the probabilities by each network."""
        use_one_thread_after_fork()
        with one_thread() if len(word_ids) < SINGLE_THREAD_TITLES else nullcontext():
            for first in range(0, len(word_ids), BATCH_SIZE):
                batch = word_ids.slice(first, min(first + BATCH_SIZE, len(word_ids)))
                for rows, probs in iter_probabilities(self.networks, batch, subword_ids):
                    yield slice(first + rows.start, first + rows.stop), probs


def _with_mean(probs: dict[str, Tensor]) -> dict[str, Tensor]:
    return probs | {"mean": mean_probabilities(probs)} if len(probs) > 1 else probs


def model_folders(folder: Path) -> list[Path]:
    """Return the folder itself if it is a model folder, else the model folders in it. Raises InputError without any."""
    if (folder / "network.json").exists():
        return [folder]
    # Hidden folders are left out, because a stage may be writing them.
    folders = sorted(file.parent for file in folder.glob("[!.]*/network.json"))
    if not folders:
        raise InputError(f"{folder} holds no network; give a model folder, such as models/mlp, or one with several")
    return folders
