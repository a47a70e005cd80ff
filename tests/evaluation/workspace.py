"""A workspace: titles, two networks that are fitted to them, and their evaluation."""

import numpy as np
import pandas as pd

from titles.evaluation.evaluate import evaluate
from titles.inference.classifier import Classifier
from titles.nn.hparams import CnnParams, MlpParams, ModelParams, TrainParams
from titles.preprocessing.encode import EmbedParams, embed
from titles.preprocessing.prepare import REJECTED_COLUMNS
from titles.training.fit import fit

EMBED = EmbedParams(
    dimension=16,
    vocabulary_size=100_000,
    subword_min_n=4,
    subword_max_n=4,
    subword_buckets=997,
    bigrams=100,
    word_vectors="none",
)
MODEL = ModelParams("tanh", "trained", dropout=0.0, word_dropout=0.0, ensemble_size=2)
NETWORK_PARAMS = {"mlp": MlpParams(1, 16, 4), "cnn": CnnParams(16, 1, 2)}
TRAIN = TrainParams(0, 1, 2, 1, 2, 4, 0.02, 0.0, 0.0, False, "accuracy")
NAMES = ["mlp", "cnn", "mean"]
HEADLINE = "Test metrics of each network and of their mean"

# Each training word occurs in one category only, and often enough for both networks to learn it in one epoch.
WORDS = {"HOME": "mesa silla", "SHOES": "zapato bota", "TOOLS": "taladro sierra", "BOOKS": "libro novela"}
TRAINING = [(word, category) for category, words in WORDS.items() for word in words.split()] * 40
TEST = [
    ("mesa", "HOME", "spanish", "reliable"),
    ("silla", "HOME", "spanish", "unreliable"),
    ("mesa silla", "HOME", "portuguese", "unreliable"),
    ("zapato", "HOME", "portuguese", "unreliable"),
    ("zapato zapato", "HOME", "spanish", "unreliable"),
    ("bota", "SHOES", "spanish", "reliable"),
    ("zapato bota", "SHOES", "portuguese", "unreliable"),
    ("bota bota", "TOOLS", "portuguese", "reliable"),
    ("taladro", "TOOLS", "spanish", "unreliable"),
    ("sierra", "ANIMALS", "spanish", "unreliable"),
]
PREDICTED = ["HOME"] * 3 + ["SHOES"] * 5 + ["TOOLS"] * 2
RECALLS = {"ANIMALS": 0, "HOME": 3 / 5, "SHOES": 1, "TOOLS": 1 / 2}
UNLABELLED = [("10", "libro"), ("9", "taladro"), ("007", "bota"), ("b", "silla"), ("a", "novela")]


class Workspace:
    """Prepared and embedded titles and two networks fitted to them."""

    def __init__(self, root, test=TEST, unlabelled=None):
        self.root = root
        self.prepared, self.embedded = root / "prepared", root / "embedded"
        self.write("reduced", "train", [(*row, "spanish", "reliable") for row in TRAINING])
        self.write("prepared", "train", [(*row, "spanish", "reliable") for row in TRAINING])
        self.write("prepared", "validation", [(*row, "spanish", "reliable") for row in TRAINING[:80]])
        self.write("prepared", "test", test)
        rejected = pd.DataFrame([("train.csv", 7, "duplicate title", "Bota", "SHOES")], columns=REJECTED_COLUMNS)
        rejected.to_parquet(self.prepared / "rejected.parquet")
        if unlabelled:
            table = pd.DataFrame(unlabelled, columns=["id", "title"])
            table.assign(cleaned=table.title, language="unknown").to_parquet(self.prepared / "unlabelled.parquet")
        (self.prepared / "sources.csv").write_text("file,split,bytes,md5\n")
        vectors = root / "vectors.npy"
        embed(self.prepared, root / "reduced", root / "word_vectors", self.embedded, vectors, EMBED)
        for name, network_params in NETWORK_PARAMS.items():
            fit(name, self.embedded, vectors, root / name, MODEL, network_params, TRAIN)

    def write(self, folder, split, rows):
        (self.root / folder).mkdir(exist_ok=True)
        table = pd.DataFrame(rows, columns=["title", "category", "language", "label_quality"])
        table.assign(cleaned=table.title).to_parquet(self.root / folder / f"{split}.parquet")

    def evaluate(self, results="results", predicted="predicted"):
        models = {name: self.root / name for name in NETWORK_PARAMS}
        return evaluate(models, self.prepared, self.embedded, self.root / results, self.root / predicted)

    def table(self, name):
        return pd.read_csv(self.root / "results" / f"{name}.csv")

    @property
    def predicted(self):
        return pd.read_parquet(self.root / "predicted" / "test.parquet")


def probabilities_of(workspace, titles, name):
    """The probabilities of the classifier `name`, [titles, categories in alphabetical order]."""
    if name == "mean":
        return np.mean([probabilities_of(workspace, titles, network) for network in NETWORK_PARAMS], axis=0)
    found = Classifier.load(workspace.root / name).predict(list(titles), top=4)
    ordered = found.assign(row=found.index // 4).sort_values(["row", "category"])
    probabilities = ordered.score.to_numpy(float).reshape(-1, 4)
    return probabilities / probabilities.sum(1, keepdims=True)
