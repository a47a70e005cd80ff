"""Predict with an exported network: `titles.inference.classifier` for ONNX files, by onnxruntime and without torch."""

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
    """`OnnxClassifier.load("mlp.onnx").predict(["Funda Galaxy J7 Prime"])`."""

    def __init__(self, session: "InferenceSession", vocabulary: Vocabulary, objective: str) -> None:
        self.session, self.vocabulary, self.encoder = session, vocabulary, TitleEncoder(vocabulary)
        self.objective, self.weights = objective, decision_weights(vocabulary, objective)
        self.categories = np.array(vocabulary.categories[: vocabulary.num_trained_categories])

    @classmethod
    def load(cls, path: str | Path, threads: int = 0, objective: str | None = None) -> "OnnxClassifier":
        """From a file that `titles export` wrote; `objective` as of `Classifier.load`.

        0 threads are as many as this process may use CPUs. Raises InputError for any other file or objective, or where
        onnxruntime is not installed.
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
            lexicon = Vocabulary(**json.loads(metadata["vocabulary"]))
            objective = objective or metadata["objective"]
            rules = json.loads(metadata["cleaning"])
        # The errors of onnxruntime have no class of their own.
        except Exception as error:
            raise InputError(f"{path} is not as titles export writes it; write it anew ({error})") from error
        if rules != RULES:
            raise InputError(f"{path} is of a version that cleans titles in another way; export it again")
        return cls(session, lexicon, objective)

    def predict(self, titles: Titles, top: int = 1) -> pd.DataFrame:
        """As `titles.inference.classifier.Classifier.predict`."""
        texts, most = title_array(titles), check_top(top)
        return predictions_dataframe(titles, texts, self.categories, self.top_k(texts, most))

    def top_k(self, titles: pa.StringArray, top: int = 1) -> TopK:
        """As `titles.inference.classifier.Classifier.best`."""
        numbered, spelling = self.encoder.encode(titles)
        found = allocate_top_k(len(titles), top, self.categories)
        for rows, inputs in iter_batches(numbered, spelling, len(self.vocabulary.words)):
            (probabilities,) = self.session.run(None, inputs)
            fill_top_k(found, rows, probabilities, self.weights)
        found[1][self.encoder.is_unknown(numbered, spelling)] = np.nan
        return found
