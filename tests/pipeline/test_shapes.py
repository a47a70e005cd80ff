"""Networks with default parameters are not worse than naive Bayes, on data sets of several shapes."""

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
TEST_TITLES, TOLERANCE = 30, 0.02


def long_tail(rank: int) -> int:
    """Return the training titles of the n-th category: from 120 down to one."""
    return max(1, round(120 * 0.85**rank))


def one_dominant(rank: int) -> int:
    """Return the training titles of the n-th category: 19 of 20 titles are in the first."""
    return 20 if rank else 20 * 29 * 19


def few(rank: int) -> int:
    """Return the training titles of the n-th category: always seven."""
    return 7


SHAPES: dict[Callable[[int], int], int] = {long_tail: 40, one_dominant: 30, few: 30}


def draw(size_of: Callable[[int], int], categories: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return `size_of(n)` training titles of the n-th category of the demo, and `TEST_TITLES` test titles of each."""
    rows = pd.DataFrame(islice(generate(10**9, categories, 1), 60_000), columns=["title", "_", "language", "category"])
    rows = rows.drop_duplicates("title")
    # The largest categories of the shape are those with the most titles to draw from.
    names = rows.category.value_counts().index
    titles_of = {name: rows[rows.category == name].title for name in names}
    train = [
        (title, name) for rank, name in enumerate(names) for title in titles_of[name][TEST_TITLES:][: size_of(rank)]
    ]
    test = [(title, name) for name in names for title in titles_of[name][:TEST_TITLES]]
    return tuple(pd.DataFrame(titles, columns=["title", "category"]) for titles in (train, test))


def naive_bayes(prepared: Path, test: pd.DataFrame) -> float:
    """Return the balanced accuracy of naive Bayes, with or without class prior, whichever is higher."""
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


# Takes a minute.
@pytest.mark.services
@pytest.mark.parametrize(("size_of", "categories"), SHAPES.items(), ids=[shape.__name__ for shape in SHAPES])
def test_no_network_is_worse_than_naive_bayes(tmp_path: Path, size_of: Callable[[int], int], categories: int) -> None:
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
        assert balanced_accuracy_score(test.category, predicted) > expected - TOLERANCE, (
            f"{name}, naive Bayes {expected}"
        )
