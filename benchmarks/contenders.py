"""The models that are compared: what one would pick instead, and our networks."""

import json
import pickle
import tempfile
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from titles.core.config import load_params
from titles.text.normalization import clean

# What a model needs is imported where it is fitted, as it would count in the memory of all others.
if TYPE_CHECKING:
    import pandas as pd
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import FeatureUnion, Pipeline

PARAMS = Path("params.yaml")
WORD_VECTORS = Path("data/word_vectors")
WORD, SEED = r"\S+", 2019
WORD_SVM, CHARACTER_SVM = "words, linear SVM", "words and characters, linear SVM"

Predict = Callable[[Sequence[str]], Sequence[str]]
Settings = dict[str, Any]
# To sections of params.yaml.
Changes = dict[str, Settings]


@dataclass(frozen=True)
class Peer:
    """A model one would pick instead of the networks.

    `fit` takes rows, the folder to save to, and settings; `load` makes that folder a function of raw titles. `best` are
    the default settings, `choices` the values to try of each.
    """

    fit: Callable[..., None]
    load: Callable[[Path], Predict]
    best: Settings
    choices: dict[str, list[Any]]

    def candidates(self, varied: Container[str] | None = None) -> Iterator[Settings]:
        """Yield every combination of the choices of `varied`, or of all settings; the others are as in `best`."""
        names = self.choices if varied is None else varied
        grid = [values if name in names else [self.best[name]] for name, values in self.choices.items()]
        return (dict(zip(self.choices, values, strict=True)) for values in product(*grid))


def naive_bayes(alpha: float, fit_prior: bool) -> "Pipeline":
    """Multinomial naive Bayes on word counts; without `fit_prior` every category is equally likely beforehand."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline

    return make_pipeline(CountVectorizer(token_pattern=WORD), MultinomialNB(alpha=alpha, fit_prior=fit_prior))


def word_svm(C: float, class_weight: str | None = None) -> "Pipeline":  # noqa: N803
    """Linear SVM on TF-IDF of words and pairs of words."""
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    return make_pipeline(_word_pairs(), LinearSVC(C=C, class_weight=class_weight, random_state=SEED))


def character_svm(C: float, analyzer: str, class_weight: str | None = None) -> "Pipeline":  # noqa: N803
    """Linear SVM on TF-IDF of words, pairs of words, and n-grams of two to five characters."""
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    svm = LinearSVC(C=C, class_weight=class_weight, random_state=SEED)
    return make_pipeline(character_features(analyzer), svm)


def character_features(analyzer: str) -> "FeatureUnion":
    """TF-IDF of words, pairs of words, and n-grams of two to five characters."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_union

    characters = TfidfVectorizer(analyzer=analyzer, ngram_range=(2, 5), sublinear_tf=True)
    return make_union(_word_pairs(), characters)


def _word_pairs() -> "TfidfVectorizer":
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(token_pattern=WORD, ngram_range=(1, 2), sublinear_tf=True)


def fit_pipeline(build: Callable[..., "Pipeline"], rows: "pd.DataFrame", folder: Path, **settings: Any) -> None:
    """Any of scikit-learn's."""
    pipeline = build(**settings).fit(rows.cleaned.tolist(), rows.category.tolist())
    with (folder / "pipeline.pickle").open("wb") as file:
        pickle.dump(pipeline, file)


def load_pipeline(folder: Path) -> Predict:
    """What `fit_pipeline` saved."""
    pipeline = pickle.loads((folder / "pipeline.pickle").read_bytes())
    return lambda titles: pipeline.predict([clean(title) for title in titles])


def fit_fasttext(rows: "pd.DataFrame", folder: Path, subwords: tuple[int, int], lr: float, **settings: Any) -> None:
    """Its supervised softmax; labels are numbers, as the names of categories may hold spaces."""
    import fasttext

    categories = sorted(rows.category.unique())
    label = {category: number for number, category in enumerate(categories)}
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        file.writelines(f"__label__{label[row.category]} {row.cleaned}\n" for row in rows.itertuples())
        file.flush()
        fixed = {"minn": subwords[0], "maxn": subwords[1], "dim": 100, "thread": 2, "verbose": 0}
        try:
            model = fasttext.train_supervised(file.name, lr=lr, **fixed, **settings)
        except RuntimeError as error:
            if "NaN" not in str(error):
                raise
            # The learning rate is too high for these titles.
            fit_fasttext(rows, folder, subwords, lr / 2, **settings)
            return
    model.save_model(str(folder / "model.bin"))
    (folder / "categories.json").write_text(json.dumps(categories), encoding="utf-8")


def load_fasttext(folder: Path) -> Predict:
    """What `fit_fasttext` saved."""
    import fasttext

    model = fasttext.load_model(str(folder / "model.bin"))
    categories = json.loads((folder / "categories.json").read_text(encoding="utf-8"))

    def predict(titles: Sequence[str]) -> list[str]:
        # Given one title instead of a list, fastText 0.9.3 fails under NumPy 2.
        labels, _ = model.predict([clean(title) for title in titles])
        return [categories[int(label.removeprefix("__label__"))] for (label,) in labels]

    return predict


PEERS = {
    "naive Bayes": Peer(
        partial(fit_pipeline, naive_bayes),
        load_pipeline,
        {"alpha": 0.3, "fit_prior": False},
        {"alpha": [0.03, 0.1, 0.3], "fit_prior": [False, True]},
    ),
    "fastText": Peer(
        fit_fasttext,
        load_fasttext,
        {"epoch": 50, "lr": 0.5, "wordNgrams": 1, "subwords": (0, 0)},
        {"epoch": [25, 50], "lr": [0.5], "wordNgrams": [1, 2], "subwords": [(0, 0), (2, 5)]},
    ),
    WORD_SVM: Peer(
        partial(fit_pipeline, word_svm),
        load_pipeline,
        {"C": 1, "class_weight": None},
        {"C": [0.3, 1, 3], "class_weight": [None, "balanced"]},
    ),
    CHARACTER_SVM: Peer(
        partial(fit_pipeline, character_svm),
        load_pipeline,
        {"C": 1, "analyzer": "char_wb", "class_weight": None},
        {"C": [0.3, 1, 3], "analyzer": ["char", "char_wb"], "class_weight": [None, "balanced"]},
    ),
}
NETWORKS = ("mlp", "cnn")
MODELS = (*PEERS, *NETWORKS, "mean")


def joined(*changes: Changes) -> Changes:
    """All changes to params.yaml in one."""
    together: Changes = {}
    for change in changes:
        for section, values in change.items():
            together[section] = together.get(section, {}) | values
    return together


def fit_network(name: str, work: Path, folder: Path, seed: int, changes: Changes | None = None) -> None:
    """The pipeline's embed and train stages, under params.yaml's settings and changes to its sections."""
    from titles.nn.hparams import CnnParams, MlpParams, ModelParams, TrainParams
    from titles.preprocessing.encode import EmbedParams, embed
    from titles.training.fit import fit

    wanted = {"embed": EmbedParams, "model": ModelParams, "mlp": MlpParams, "cnn": CnnParams, "train": TrainParams}
    params: Settings = load_params(PARAMS, wanted)
    params["train"] = replace(params["train"], seed=seed)
    params |= {section: replace(params[section], **values) for section, values in (changes or {}).items()}
    with tempfile.TemporaryDirectory() as scratch:
        embedded, vectors = Path(scratch) / "embedded", Path(scratch) / "vectors.npy"
        embed(work / "prepared", work / "reduced", WORD_VECTORS, embedded, vectors, params["embed"])
        fit(name, embedded, vectors, folder, params["model"], params[name], params["train"])


def load(name: str, models: Path) -> Predict:
    """The model `name` in `models`, as a function of raw titles; `mean` is that of all networks there."""
    if name in PEERS:
        return PEERS[name].load(models / name)
    from titles.inference.classifier import Classifier

    classifier = Classifier.load(models if name == "mean" else models / name)
    return lambda titles: classifier.predict(titles).category.tolist()
