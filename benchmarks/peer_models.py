"""Peers of the networks: scikit-learn pipelines and fastText, with functions that fit, save and load them."""

import json
import pickle
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from titles.text.normalization import clean

# Each library is imported where its model is fitted, so that it does not count in the memory of the other models.
if TYPE_CHECKING:
    import pandas as pd
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import FeatureUnion, Pipeline

WORD, SEED = r"\S+", 2019

Predict = Callable[[Sequence[str]], Sequence[str]]


def naive_bayes(alpha: float, fit_prior: bool) -> "Pipeline":
    """Multinomial naive Bayes on word counts; without `fit_prior` the class prior is uniform."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline

    return make_pipeline(CountVectorizer(token_pattern=WORD), MultinomialNB(alpha=alpha, fit_prior=fit_prior))


def word_svm(C: float, class_weight: str | None = None) -> "Pipeline":  # noqa: N803
    """Linear SVM on TF-IDF of word unigrams and bigrams."""
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    return make_pipeline(_word_ngrams(), LinearSVC(C=C, class_weight=class_weight, random_state=SEED))


def character_svm(C: float, analyzer: str, class_weight: str | None = None) -> "Pipeline":  # noqa: N803
    """Linear SVM on TF-IDF of word unigrams and bigrams, and of character n-grams of length 2 to 5."""
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    svm = LinearSVC(C=C, class_weight=class_weight, random_state=SEED)
    return make_pipeline(character_features(analyzer), svm)


def character_features(analyzer: str) -> "FeatureUnion":
    """TF-IDF of word unigrams and bigrams, and of character n-grams of length 2 to 5."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_union

    characters = TfidfVectorizer(analyzer=analyzer, ngram_range=(2, 5), sublinear_tf=True)
    return make_union(_word_ngrams(), characters)


def _word_ngrams() -> "TfidfVectorizer":
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(token_pattern=WORD, ngram_range=(1, 2), sublinear_tf=True)


def fit_pipeline(build: Callable[..., "Pipeline"], rows: "pd.DataFrame", folder: Path, **settings: Any) -> None:
    """Fit and save a scikit-learn pipeline."""
    pipeline = build(**settings).fit(rows.cleaned.tolist(), rows.category.tolist())
    with (folder / "pipeline.pickle").open("wb") as file:
        pickle.dump(pipeline, file)


def load_pipeline(folder: Path) -> Predict:
    """Load what `fit_pipeline` saved."""
    pipeline = pickle.loads((folder / "pipeline.pickle").read_bytes())
    return lambda titles: pipeline.predict([clean(title) for title in titles])


def fit_fasttext(rows: "pd.DataFrame", folder: Path, subwords: tuple[int, int], lr: float, **settings: Any) -> None:
    """Fit and save a supervised fastText model; its labels are integers, as category names may contain spaces."""
    import fasttext

    categories = sorted(rows.category.unique())
    label = {category: index for index, category in enumerate(categories)}
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        file.writelines(f"__label__{label[row.category]} {row.cleaned}\n" for row in rows.itertuples())
        file.flush()
        fixed = {"minn": subwords[0], "maxn": subwords[1], "dim": 100, "thread": 2, "verbose": 0}
        try:
            model = fasttext.train_supervised(file.name, lr=lr, **fixed, **settings)
        except RuntimeError as error:
            if "NaN" not in str(error):
                raise
            # The learning rate is too high for these titles: training diverged.
            fit_fasttext(rows, folder, subwords, lr / 2, **settings)
            return
    model.save_model(str(folder / "model.bin"))
    (folder / "categories.json").write_text(json.dumps(categories), encoding="utf-8")


def load_fasttext(folder: Path) -> Predict:
    """Load what `fit_fasttext` saved."""
    import fasttext

    model = fasttext.load_model(str(folder / "model.bin"))
    categories = json.loads((folder / "categories.json").read_text(encoding="utf-8"))

    def predict(titles: Sequence[str]) -> list[str]:
        # fastText 0.9.3 fails under NumPy 2 if it gets a single title instead of a list.
        labels, _ = model.predict([clean(title) for title in titles])
        return [categories[int(label.removeprefix("__label__"))] for (label,) in labels]

    return predict
