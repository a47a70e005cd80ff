"""A model folder put to use: titles in, categories with probabilities out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from titles.cleaning import clean
from titles.embedded import Lexicon
from titles.model import load
from titles.networks import Network, predict
from titles.ragged import Ragged
from titles.vocabulary import number_words, spell, split_words


class Classifier:
    """`Classifier.load("models/mlp").predict(["Funda Galaxy J7 Prime"])`."""

    def __init__(self, network: Network, lexicon: Lexicon) -> None:
        self.network, self.lexicon = network, lexicon
        self.categories = np.array(lexicon.categories[: lexicon.trained_categories])
        self.vocabulary = pa.array(lexicon.vocabulary, pa.string())
        self.spelling = self._spell(lexicon.vocabulary)

    @classmethod
    def load(cls, folder: str | Path) -> "Classifier":
        """From a folder that train_mlp or train_cnn wrote."""
        return cls(*load(Path(folder)))

    def predict(self, titles: Sequence[str], top: int = 1) -> pd.DataFrame:
        """The `top` categories of each title, the best first: `top` rows a title of title, category and probability."""
        top = min(top, len(self.categories))
        words = split_words(pa.array([clean(title) for title in titles], pa.string()))
        used = pc.unique(words.flatten())
        unknown = used.filter(pc.invert(pc.is_in(used, value_set=self.vocabulary)))
        numbered = number_words(words, pa.concat_arrays([self.vocabulary, unknown]))
        spelling = self.spelling.followed_by(self._spell(unknown.to_pylist()))
        best = [logits.softmax(1).topk(top) for logits in predict(self.network, numbered, spelling)]
        labels = np.concatenate([np.empty(0, np.int64), *(batch.indices.flatten() for batch in best)])
        probabilities = np.concatenate([np.empty(0, np.float32), *(batch.values.flatten() for batch in best)])
        title = np.repeat(np.array(titles, object), top)
        return pd.DataFrame({"title": title, "category": self.categories[labels], "probability": probabilities})

    def _spell(self, words: list[str]) -> Ragged:
        return spell(words, self.lexicon.subword_lengths, self.lexicon.subword_buckets)
