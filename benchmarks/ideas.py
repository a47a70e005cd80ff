"""Ideas beyond the networks as they are: `python -m benchmarks.ideas FOLDER --tested SPLIT`.

FOLDER is a data folder with train and test files. Each row is an idea, with the balanced accuracy of MLP, CNN and their
mean, or of a mean with something else. What is chosen, such as the weight of the neighbours, is chosen on validation.
"""

import argparse
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

from benchmarks.contenders import NETWORKS, Changes, character_features, fit_network
from benchmarks.holdout import read_rows, write
from benchmarks.intervals import accuracies
from benchmarks.report import markdown, say
from benchmarks.trials import alone, machine, prepare, read
from titles.data.batch import Batch
from titles.inference.classifier import Classifier
from titles.inference.title_array import title_array
from titles.nn.decision import decision_weights
from titles.nn.hparams import CnnParams, ModelParams
from titles.nn.networks import Network
from titles.nn.word_embedding import Sizes
from titles.persistence import model_folder

Row = dict[str, str | None]
Probabilities = NDArray[np.float32]

SPLITS = ("validation", "test")
NEIGHBOURS, POWER = 10, 4
WEIGHTS = np.arange(0, 0.55, 0.05)
STATES = 128


def digits_again(rows: list[Row]) -> list[Row]:
    """Append each word that has letters and digits once more, with every digit as 0: `i7` also as `i0`."""

    def forms(title: str) -> str:
        mixed = [word for word in title.split() if re.search(r"\d", word) and re.search(r"[^\W\d]", word)]
        return " ".join([title, *(re.sub(r"\d", "0", word) for word in mixed)])

    return [row | {"title": forms(row["title"] or "")} for row in rows]


def every_second_word(rows: list[Row]) -> list[Row]:
    """Append the words with an odd number and then those with an even one, so that words two apart make pairs."""

    def twice(words: list[str]) -> str:
        return " ".join([*words, *words[::2], *words[1::2]] if len(words) > 2 else words)

    return [row | {"title": twice((row["title"] or "").split())} for row in rows]


def names_as_titles(rows: list[Row]) -> list[Row]:
    """Add a title for each category, which is its name."""
    names = sorted({row["category"] or "" for row in rows})
    return [*rows, *(rows[0] | {"title": name.replace("_", " "), "category": name} for name in names)]


# What becomes of the training titles, and of the test titles.
DATA_IDEAS: dict[str, tuple[Callable[[list[Row]], list[Row]], ...]] = {
    "as they are": (list, list),
    "digits as a second form": (digits_again, digits_again),
    "pairs of words two apart": (every_second_word, every_second_word),
    "category names as training titles": (names_as_titles, list),
}


class Recurrent(Network):
    """A bidirectional GRU over the word vectors, of whose states a title keeps the maximum plus the mean."""

    def __init__(self, sizes: Sizes, model: ModelParams, _: CnnParams) -> None:
        super().__init__(sizes, model, 0, (), 2 * STATES)
        self.kernel_sizes = (1,)
        self.recurrent = nn.GRU(sizes.dimension, STATES, bidirectional=True)

    def features(self, batch: Batch) -> Tensor:
        """Return the features [1, titles, 2 * STATES]; those of a title without words are zero."""
        words, lengths = batch.windows[0].words[:, 0], batch.lengths
        vectors = self.dropout(self.word_vectors(batch.words))[words]
        filled = torch.nonzero(lengths)[:, 0]
        sequences = vectors.split(lengths[filled].tolist())
        found = torch.zeros(len(lengths), 2 * STATES)
        if len(filled):
            states, _ = pad_packed_sequence(self.recurrent(pack_sequence(sequences, enforce_sorted=False))[0])
            missing = (torch.arange(len(states))[:, None] >= lengths[filled])[..., None]
            mean = states.sum(0) / lengths[filled, None]
            found = found.index_copy(0, filled, states.masked_fill(missing, -1).amax(0) + mean)
        return self.dropout(found)[None]


def probabilities(name: str, work: Path, seed: int, changes: Changes | None = None) -> dict[str, Probabilities]:
    """Train a network and return its probabilities [titles, categories] of each split. Called in its own process."""
    folder = work / "model"
    if name == "recurrent":
        model_folder.NETWORKS["cnn"] = (Recurrent, CnnParams)  # type: ignore[assignment]
        name, changes = "cnn", {"model": {"members": 1}}
    fit_network(name, work, folder, seed, changes)
    classifier = Classifier.load(folder)
    return {
        split: classifier.probabilities(title_array(read(work, split).title.tolist()))[folder.name] for split in SPLITS
    }


def decisions(work: Path) -> tuple[NDArray[np.object_], Probabilities]:
    """Return the categories, and by what their probabilities are multiplied for balanced accuracy."""
    lexicon = Classifier.load(work / "model").vocabulary
    return np.array(lexicon.categories[: lexicon.num_trained_categories], object), decision_weights(
        lexicon, "balanced_accuracy"
    )


def neighbours(work: Path, categories: NDArray[np.object_]) -> dict[str, Probabilities]:
    """Let the training titles that are nearest by TF-IDF of words and characters vote, by similarity^POWER."""
    train = read(work, "train")
    features = character_features("char_wb").fit(train.cleaned)
    known, labels = features.transform(train.cleaned), pd.Index(categories).get_indexer(train.category)
    # Words and characters are of unit length each.
    found = {}
    for split in SPLITS:
        asked = features.transform(read(work, split).cleaned)
        blocks = [
            _votes((asked[first : first + 500] @ known.T).toarray() / 2, labels, len(categories))
            for first in range(0, asked.shape[0], 500)
        ]
        found[split] = np.concatenate(blocks)
    return found


def _votes(similarities: NDArray[np.float64], labels: NDArray[np.int64], categories: int) -> Probabilities:
    nearest = np.argpartition(-similarities, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    rows = np.arange(len(nearest)).repeat(NEIGHBOURS)
    weights = np.take_along_axis(similarities, nearest, 1).ravel() ** POWER
    votes = sp.coo_array((weights, (rows, labels[nearest.ravel()])), (len(nearest), categories)).toarray()
    return (votes / votes.sum(1, keepdims=True).clip(min=1e-9)).astype(np.float32)


class Measured:
    """The table, and the splits' true categories it is computed from."""

    def __init__(self, work: Path, tested: str) -> None:
        self.true = {split: read(work, split).category.tolist() for split in SPLITS}
        self.categories, self.weights = decisions(work)
        self.tested = tested

    def balanced_accuracy(self, said: Probabilities, split: str) -> dict[str, float]:
        """Return the accuracies of the decisions by these probabilities."""
        return accuracies(self.true[split], self.categories[(said * self.weights).argmax(1)].tolist())

    def row(self, idea: str, said: dict[str, Probabilities]) -> dict[str, float | str]:
        """Return a row of the table."""
        found = self.balanced_accuracy(said[self.tested], self.tested)
        say(f"{idea}: {found['balanced_accuracy']:.4f}")
        return {"idea": idea, **{key: found[key] for key in ("balanced_accuracy", "low", "high", "accuracy")}}


def mean(*of_models: dict[str, Probabilities]) -> dict[str, Probabilities]:
    """Return the mean probabilities of each split."""
    return {split: np.mean([said[split] for said in of_models], axis=0) for split in SPLITS}


def measure(folder: Path, fraction: float, seed: int, tested: str) -> Iterator[dict[str, float | str]]:
    """Yield the rows of all ideas."""
    for idea, changed in DATA_IDEAS.items():
        with tempfile.TemporaryDirectory() as scratch:
            work, raw = Path(scratch), Path(scratch) / "raw"
            raw.mkdir()
            for split, change in zip(("train", "test"), changed, strict=True):
                write(raw / f"{split}.csv", change(read_rows(folder, split)))
            prepare(raw, work, fraction)
            if idea == "as they are":
                print(machine(work), flush=True)
            networks = {name: alone(probabilities, name, work, seed) for name in NETWORKS}
            measured = Measured(work, tested)
            for name, said in networks.items():
                yield measured.row(f"{idea}: {name}", said)
            both = mean(*networks.values())
            yield measured.row(f"{idea}: mean", both)
            if idea == "as they are":
                yield from afterwards(work, measured, networks, seed)


def afterwards(
    work: Path, measured: Measured, networks: dict[str, dict[str, Probabilities]], seed: int
) -> Iterator[dict[str, float | str]]:
    """Yield the rows of what is added to the networks' probabilities."""
    recurrent = alone(probabilities, "recurrent", work, seed)
    yield measured.row("recurrent network", recurrent)
    yield measured.row("mean of MLP, CNN and recurrent network", mean(*networks.values(), recurrent))
    near = neighbours(work, measured.categories)
    yield measured.row("nearest training titles", near)
    for name, said in [*networks.items(), ("mean", mean(*networks.values()))]:
        mixed = {
            weight: {split: (1 - weight) * said[split] + weight * near[split] for split in SPLITS} for weight in WEIGHTS
        }
        best = max(
            WEIGHTS,
            key=lambda weight: measured.balanced_accuracy(mixed[weight]["validation"], "validation")[
                "balanced_accuracy"
            ],
        )
        yield measured.row(f"{name} and {best:.2f} of the nearest training titles", mixed[best])


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.ideas", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tested", choices=SPLITS, required=True, help="the split to test on")
    parser.add_argument("--fraction", type=float, default=1, help="the share of the training titles to learn from")
    parser.add_argument("--seed", type=int, default=2019)
    options = parser.parse_args()
    table = pd.DataFrame(measure(options.folder, options.fraction, options.seed, options.tested))
    print(f"Tested on {options.tested}.\n\n{markdown(table, {})}")


if __name__ == "__main__":
    main()
