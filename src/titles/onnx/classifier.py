"""`OnnxClassifier`: predict with an exported network in onnxruntime, without torch."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from titles.core.cpus import available_cpus
from titles.core.errors import InputError
from titles.data.encoded_dataset import Vocabulary
from titles.inference.title_array import Titles, check_top, predictions_dataframe, title_array
from titles.inference.top_k import TopK, allocate_top_k, fill_top_k
from titles.nn.decision import check_objective, decision_weights
from titles.onnx.inputs import iter_batches
from titles.text.encoder import TitleEncoder
from titles.text.normalization import RULES

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


class OnnxClassifier:
    """An exported network: `OnnxClassifier.load("mlp.onnx").predict(["Funda Galaxy J7 Prime"])`."""

    def __init__(self, session: "InferenceSession", vocabulary: Vocabulary, objective: str) -> None:
        self.session, self.vocabulary, self.encoder = session, vocabulary, TitleEncoder(vocabulary)
        self.objective, self.weights = objective, decision_weights(vocabulary, objective)
        self.categories = np.array(vocabulary.categories[: vocabulary.num_trained_categories])

    @classmethod
    def load(cls, path: str | Path, threads: int = 0, objective: str | None = None) -> "OnnxClassifier":
        """Load a file that `titles export` wrote. `objective` is as in `Classifier.load`.

        With `threads` 0 it uses one thread per available CPU. Raises InputError if the file or the objective is not
        valid, or onnxruntime is not installed.
        """
        check_objective(objective)
        try:
            from onnxruntime import InferenceSession, SessionOptions
        except ModuleNotFoundError:
            raise InputError("onnxruntime is not installed; pip install '.[onnx]' in the checkout adds it") from None
        if not Path(path).is_file():
            raise InputError(f"{path} is not a file; titles export writes one")
        options = SessionOptions()
        options.intra_op_num_threads = threads or available_cpus()
        try:
            session = InferenceSession(path, options, providers=["CPUExecutionProvider"])
            metadata = session.get_modelmeta().custom_metadata_map
            vocabulary = Vocabulary(**json.loads(metadata["vocabulary"]))
            objective = objective or metadata["objective"]
            rules = json.loads(metadata["normalization"])
        # The errors of onnxruntime have no common base class but Exception.
        except Exception as error:
            raise InputError(f"{path} is not a file of titles export; export it again ({error})") from error
        if rules != RULES:
            raise InputError(f"{path} is of a version that normalizes titles in another way; export it again")
        return cls(session, vocabulary, objective)

    def predict(self, titles: Titles, top: int = 1) -> pd.DataFrame:
        """Predict the `top` categories of each title, as `titles.inference.classifier.Classifier.predict` does."""
        texts, num_categories = title_array(titles), check_top(top)
        return predictions_dataframe(titles, texts, self.categories, self.top_k(texts, num_categories))

    def top_k(self, titles: pa.StringArray, top: int = 1) -> TopK:
        """Return labels and scores, as `titles.inference.classifier.Classifier.top_k` does."""
        word_ids, subword_ids = self.encoder.encode(titles)
        out = allocate_top_k(len(titles), top, self.categories)
        for rows, inputs in iter_batches(word_ids, subword_ids, len(self.vocabulary.words)):
            (probabilities,) = self.session.run(None, inputs)
            fill_top_k(out, rows, probabilities, self.weights)
        out[1][self.encoder.is_unknown(word_ids, subword_ids)] = np.nan
        return out
