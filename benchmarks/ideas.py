"""Possible extensions of the networks: `python -m benchmarks.ideas FOLDER --tested SPLIT`.

FOLDER is a data folder with train and test files. Each row is an extension, with the balanced accuracy of MLP, CNN and
their mean, or of their mean with another model. Weights, such as that of the nearest neighbours, are chosen on
validation.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from benchmarks.contenders import NETWORKS, Changes, fit_network
from benchmarks.data_ideas import DATA_IDEAS
from benchmarks.holdout import read_rows, write
from benchmarks.intervals import accuracies
from benchmarks.peer_models import character_features
from benchmarks.recurrent import Recurrent
from benchmarks.report import log_progress, markdown
from benchmarks.trials import describe_run, prepare, read, run_in_process
from titles.inference.classifier import Classifier
from titles.inference.title_array import title_array
from titles.nn.decision import decision_weights
from titles.nn.hparams import CnnParams
from titles.persistence import model_folder

Probabilities = NDArray[np.float32]

SPLITS = ("validation", "test")
NEIGHBOURS, POWER = 10, 4
WEIGHTS = np.arange(0, 0.55, 0.05)


def probabilities(name: str, work: Path, seed: int, changes: Changes | None = None) -> dict[str, Probabilities]:
    """Train a network and return its probabilities [titles, categories] of each split. Runs in its own process."""
    folder = work / "model"
    if name == "recurrent":
        model_folder.NETWORKS["cnn"] = (Recurrent, CnnParams)  # type: ignore[assignment]
        name, changes = "cnn", {"model": {"ensemble_size": 1}}
    fit_network(name, work, folder, seed, changes)
    classifier = Classifier.load(folder)
    return {
        split: classifier.probabilities(title_array(read(work, split).title.tolist()))[folder.name] for split in SPLITS
    }


def decisions(work: Path) -> tuple[NDArray[np.object_], Probabilities]:
    """Return the categories, and the factors of their probabilities for balanced accuracy."""
    vocabulary = Classifier.load(work / "model").vocabulary
    categories = np.array(vocabulary.categories[: vocabulary.num_trained_categories], object)
    return categories, decision_weights(vocabulary, "balanced_accuracy")


def neighbours(work: Path, categories: NDArray[np.object_]) -> dict[str, Probabilities]:
    """Predict by k nearest neighbours on TF-IDF of words and characters, weighted by similarity^POWER."""
    train = read(work, "train")
    features = character_features("char_wb").fit(train.cleaned)
    training, labels = features.transform(train.cleaned), pd.Index(categories).get_indexer(train.category)
    # The vectors of words and of characters each have norm 1, so the product is at most 2.
    probs = {}
    for split in SPLITS:
        queries = features.transform(read(work, split).cleaned)
        blocks = [
            _votes((queries[first : first + 500] @ training.T).toarray() / 2, labels, len(categories))
            for first in range(0, queries.shape[0], 500)
        ]
        probs[split] = np.concatenate(blocks)
    return probs


def _votes(similarities: NDArray[np.float64], labels: NDArray[np.int64], categories: int) -> Probabilities:
    nearest = np.argpartition(-similarities, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    rows = np.arange(len(nearest)).repeat(NEIGHBOURS)
    weights = np.take_along_axis(similarities, nearest, 1).ravel() ** POWER
    votes = sp.coo_array((weights, (rows, labels[nearest.ravel()])), (len(nearest), categories)).toarray()
    return (votes / votes.sum(1, keepdims=True).clip(min=1e-9)).astype(np.float32)


class Evaluation:
    """Rows of the table, computed from the true categories of the splits."""

    def __init__(self, work: Path, tested: str) -> None:
        self.true = {split: read(work, split).category.tolist() for split in SPLITS}
        self.categories, self.weights = decisions(work)
        self.tested = tested

    def accuracies(self, probs: Probabilities, split: str) -> dict[str, float]:
        """Return the accuracies of the predictions by these probabilities."""
        return accuracies(self.true[split], self.categories[(probs * self.weights).argmax(1)].tolist())

    def row(self, idea: str, probs: dict[str, Probabilities]) -> dict[str, float | str]:
        """Return a row of the table."""
        result = self.accuracies(probs[self.tested], self.tested)
        log_progress(f"{idea}: {result['balanced_accuracy']:.4f}")
        return {"idea": idea, **{key: result[key] for key in ("balanced_accuracy", "low", "high", "accuracy")}}


def mean(*of_models: dict[str, Probabilities]) -> dict[str, Probabilities]:
    """Return the mean probabilities of each split."""
    return {split: np.mean([probs[split] for probs in of_models], axis=0) for split in SPLITS}


def measure(folder: Path, fraction: float, seed: int, tested: str) -> Iterator[dict[str, float | str]]:
    """Yield the rows of all extensions."""
    for idea, functions in DATA_IDEAS.items():
        with tempfile.TemporaryDirectory() as scratch:
            work, raw = Path(scratch), Path(scratch) / "raw"
            raw.mkdir()
            for split, function in zip(("train", "test"), functions, strict=True):
                write(raw / f"{split}.csv", function(read_rows(folder, split)))
            prepare(raw, work, fraction)
            if idea == "unchanged":
                print(describe_run(work), flush=True)
            networks = {name: run_in_process(probabilities, name, work, seed) for name in NETWORKS}
            evaluation = Evaluation(work, tested)
            for name, probs in networks.items():
                yield evaluation.row(f"{idea}: {name}", probs)
            yield evaluation.row(f"{idea}: mean", mean(*networks.values()))
            if idea == "unchanged":
                yield from measure_combinations(work, evaluation, networks, seed)


def measure_combinations(
    work: Path, evaluation: Evaluation, networks: dict[str, dict[str, Probabilities]], seed: int
) -> Iterator[dict[str, float | str]]:
    """Yield the rows of models that are combined with the networks."""
    recurrent = run_in_process(probabilities, "recurrent", work, seed)
    yield evaluation.row("recurrent network", recurrent)
    yield evaluation.row("mean of MLP, CNN and recurrent network", mean(*networks.values(), recurrent))
    knn = neighbours(work, evaluation.categories)
    yield evaluation.row("nearest training titles", knn)
    for name, probs in [*networks.items(), ("mean", mean(*networks.values()))]:
        mixed = {
            weight: {split: (1 - weight) * probs[split] + weight * knn[split] for split in SPLITS} for weight in WEIGHTS
        }
        on_validation = {
            weight: evaluation.accuracies(of_splits["validation"], "validation")["balanced_accuracy"]
            for weight, of_splits in mixed.items()
        }
        best = max(WEIGHTS, key=on_validation.__getitem__)
        yield evaluation.row(f"{name} and {best:.2f} of the nearest training titles", mixed[best])


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.ideas", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tested", choices=SPLITS, required=True, help="split to evaluate on")
    parser.add_argument("--fraction", type=float, default=1, help="share of the training titles to train on")
    parser.add_argument("--seed", type=int, default=2019)
    options = parser.parse_args()
    table = pd.DataFrame(measure(options.folder, options.fraction, options.seed, options.tested))
    print(f"Evaluated on {options.tested}.\n\n{markdown(table, {})}")


if __name__ == "__main__":
    main()
