"""Whatever the shape of the data, no network with the defaults falls behind a naive Bayes."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pandas as pd
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.metrics import balanced_accuracy_score
from sklearn.naive_bayes import MultinomialNB

from titles.core.config import load_params
from titles.demo.__main__ import generate
from titles.inference.classifier import Classifier
from titles.nn.hparams import CnnParams, MlpParams, ModelParams, TrainParams
from titles.preprocessing.dedup_split import PrepareParams
from titles.preprocessing.encode import EmbedParams, embed
from titles.preprocessing.prepare import prepare
from titles.preprocessing.subsample import ReduceParams, reduce
from titles.training.fit import fit

SECTIONS = {
    "prepare": PrepareParams,
    "embed": EmbedParams,
    "model": ModelParams,
    "mlp": MlpParams,
    "cnn": CnnParams,
    "train": TrainParams,
}
TEST_TITLES, BEHIND = 30, 0.02


def long_tail(place: int) -> int:
    """From 120 titles down to one."""
    return max(1, round(120 * 0.85**place))


def one_of_most(place: int) -> int:
    """Nineteen titles in twenty are of the first category."""
    return 20 if place else 20 * 29 * 19


def few(place: int) -> int:
    """Seven titles each."""
    return 7


SHAPES: dict[Callable[[int], int], int] = {long_tail: 40, one_of_most: 30, few: 30}


def draw(size_of: Callable[[int], int], categories: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training titles of so many categories of the demo, `size_of(n)` of the n-th; `TEST_TITLES` of each to test."""
    rows = pd.DataFrame(islice(generate(10**9, categories, 1), 60_000), columns=["title", "_", "language", "category"])
    rows = rows.drop_duplicates("title")
    # The largest categories of the shape are those with the most titles to draw from.
    names = rows.category.value_counts().index
    kept = {name: rows[rows.category == name].title for name in names}
    train = [(title, name) for place, name in enumerate(names) for title in kept[name][TEST_TITLES:][: size_of(place)]]
    test = [(title, name) for name in names for title in kept[name][:TEST_TITLES]]
    return tuple(pd.DataFrame(titles, columns=["title", "category"]) for titles in (train, test))


def naive_bayes(prepared: Path, test: pd.DataFrame) -> float:
    """The balanced accuracy of the better of two."""
    train = pd.concat([pd.read_parquet(prepared / f"{split}.parquet") for split in ("train", "validation")])
    words = CountVectorizer(token_pattern=r"\S+")
    counts = words.fit_transform(train.cleaned)
    return max(
        balanced_accuracy_score(
            test.category,
            MultinomialNB(alpha=0.1, fit_prior=prior)
            .fit(counts, train.category)
            .predict(words.transform(test.cleaned)),
        )
        for prior in (False, True)
    )


@pytest.mark.parametrize(("size_of", "categories"), SHAPES.items(), ids=[shape.__name__ for shape in SHAPES])
def test_no_network_falls_behind_a_naive_bayes(tmp_path: Path, size_of: Callable[[int], int], categories: int) -> None:
    params = load_params(Path("params.yaml"), SECTIONS)
    (raw := tmp_path / "raw").mkdir()
    for split, titles in zip(("train", "test"), draw(size_of, categories), strict=True):
        titles.to_csv(raw / f"{split}.csv", index=False)
    prepared, embedded, vectors = tmp_path / "prepared", tmp_path / "embedded", tmp_path / "vectors.npy"
    prepare(raw, prepared, params["prepare"])
    reduce(prepared, tmp_path / "reduced", ReduceParams(1.0, 1))
    embed(prepared, tmp_path / "reduced", tmp_path, embedded, vectors, params["embed"])
    test = pd.read_parquet(prepared / "test.parquet")
    expected = naive_bayes(prepared, test)
    for name in ("mlp", "cnn"):
        fit(name, embedded, vectors, tmp_path / "models" / name, params["model"], params[name], params["train"])
        predicted = Classifier.load(tmp_path / "models" / name).predict(test.title.tolist()).category
        assert balanced_accuracy_score(test.category, predicted) > expected - BEHIND, f"{name}, naive Bayes {expected}"
