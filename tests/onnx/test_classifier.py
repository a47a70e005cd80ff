import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.inference.forked import forked_predict_status
from tests.numbered import write_numbered
from titles.core.errors import InputError
from titles.inference.classifier import Classifier
from titles.inference.title_array import title_array
from titles.nn.hparams import OBJECTIVES, CnnParams, MlpParams, ModelParams, TrainParams
from titles.onnx.classifier import OnnxClassifier
from titles.onnx.export import export
from titles.persistence.model_folder import NETWORKS
from titles.preprocessing.encode import EmbedParams, embed
from titles.text.normalization import RULES, clean
from titles.training.fit import fit

SOURCE = Path(__file__).parents[2] / "src"
REAL_DATA = os.environ.get("TITLES_REAL_DATA")

NETWORK_PARAMS = {"mlp": MlpParams(1, 8, 4), "cnn": CnnParams(8, 1, 2)}
MODEL = ModelParams("relu", "trained", 0.0, 0.1, 2)
TRAIN = TrainParams(0, 1, 2, 1, 2, 8, 0.05, 0.0, 0.0, False, "accuracy")
TITLES = ["Palabra1 palabra2", "", "¿palabra7?", "otra, «palabra»", "¡!", "palabra3 " * 70, "x y"]

USABLE = [title for title in TITLES if clean(title)]

TEXT = st.text() | st.lists(st.sampled_from(["palabra1", "palabra2", "palabra5", "otra", "É", "x"])).map(" ".join)


@pytest.fixture(scope="module", params=NETWORKS)
def model(request, tmp_path_factory):
    """A model folder, with its exported file next to it."""
    root = tmp_path_factory.mktemp(request.param)
    write_numbered(root, train=60, validation=12)
    fit(
        request.param,
        root / "embedded",
        root / "vectors.npy",
        root / "model",
        MODEL,
        NETWORK_PARAMS[request.param],
        TRAIN,
    )
    export(root / "model", root / "model.onnx")
    return root / "model"


@pytest.fixture(scope="module")
def classifiers(model):
    return Classifier.load(model), OnnxClassifier.load(model.with_suffix(".onnx"))


def check(classifiers, titles):
    """Assert that both predict the same category, or one of two with equal scores up to rounding."""
    classifier, exported = classifiers
    (labels, scores), (exported_labels, score) = (
        classifier.top_k(title_array(titles), 2),
        exported.top_k(title_array(titles)),
    )
    np.testing.assert_allclose(score, scores[:, :1], atol=1e-5)
    unusable = np.isnan(score[:, 0])
    labels, scores, exported_labels = labels[~unusable], scores[~unusable], exported_labels[~unusable]
    differs = exported_labels[:, 0] != labels[:, 0]
    assert (exported_labels[differs, 0] == labels[differs, 1]).all()
    assert (scores[differs, 0] - scores[differs, 1] < 1e-5).all()


@pytest.mark.parametrize("top", [1, 2, 3, 9])
def test_predict_returns_the_same_table_as_the_classifier(classifiers, top):
    expected, found = (classifier.predict(TITLES, top) for classifier in classifiers)
    pd.testing.assert_frame_equal(found, expected)


@settings(deadline=None, max_examples=40)
@given(st.lists(TEXT, max_size=6))
def test_any_titles_get_the_same_category_as_from_the_classifier(classifiers, titles):
    check(classifiers, titles)


def test_more_titles_than_a_batch_keep_their_order(classifiers):
    titles = [f"{'palabra3 ' * (number % 7)}palabra{number % 50}" for number in range(700)]
    check(classifiers, titles)


def test_the_number_of_threads_does_not_matter(model, classifiers):
    alone = OnnxClassifier.load(str(model.with_suffix(".onnx")), threads=1)
    check((classifiers[0], alone), TITLES)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_both_decide_for_the_requested_objective_and_scores_are_probabilities(model, tmp_path, objective):
    uneven = shutil.copytree(model, tmp_path / "uneven")
    vocabulary = json.loads((uneven / "vocabulary.json").read_text())
    (uneven / "vocabulary.json").write_text(json.dumps(vocabulary | {"category_counts": [1000, 10, 1]}))
    export(uneven, tmp_path / "uneven.onnx")
    classifier = Classifier.load(uneven, objective)
    check((classifier, OnnxClassifier.load(tmp_path / "uneven.onnx", objective=objective)), TITLES)
    (probabilities,) = classifier.probabilities(title_array(USABLE)).values()
    labels, scores = classifier.top_k(title_array(USABLE))
    weights = np.array([1000, 10, 1]) ** -OBJECTIVES[objective]
    assert np.array_equal(labels[:, 0], (probabilities * weights).argmax(1))
    np.testing.assert_allclose(scores[:, 0], probabilities[np.arange(len(USABLE)), labels[:, 0]], rtol=1e-6)


def test_the_default_objective_is_that_of_the_training(classifiers):
    assert [classifier.objective for classifier in classifiers] == [TRAIN.objective] * 2


def test_the_file_alone_is_enough_and_neither_torch_nor_onnx_is_needed(model, classifiers, tmp_path):
    shutil.copyfile(model.with_suffix(".onnx"), tmp_path / "moved.onnx")
    script = """import sys
sys.modules["torch"] = sys.modules["onnx"] = sys.modules["safetensors"] = None
from titles.onnx.classifier import OnnxClassifier
print(*OnnxClassifier.load("moved.onnx").predict(sys.argv[1:]).category.fillna("-"))"""
    command, environment = [sys.executable, "-c", script, *TITLES[:5]], os.environ | {"PYTHONPATH": str(SOURCE)}
    printed = subprocess.check_output(command, cwd=tmp_path, env=environment, text=True)
    assert printed.split() == classifiers[0].predict(TITLES[:5]).category.fillna("-").tolist()


def test_a_forked_child_predicts_what_its_parent_does(model):
    assert forked_predict_status(OnnxClassifier, model.with_suffix(".onnx")) == 0


def test_an_output_that_is_a_link_stays_a_link(model, tmp_path):
    (tmp_path / "link.onnx").symlink_to("file.onnx")
    export(model, tmp_path / "link.onnx")
    assert (tmp_path / "link.onnx").is_symlink()
    assert (tmp_path / "file.onnx").read_bytes() == model.with_suffix(".onnx").read_bytes()


FOREIGN = '<ir_version: 10, opset_import: ["": 20]> other (float[N] x) => (float[N] y) { y = Relu(x) }'


@pytest.mark.parametrize("content", [b"", b"no model", onnx.parser.parse_model(FOREIGN).SerializeToString()])
def test_a_file_that_titles_export_did_not_write_is_refused(tmp_path, content):
    (tmp_path / "a.onnx").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.onnx is not a file of titles export"):
        OnnxClassifier.load(tmp_path / "a.onnx")


def test_a_file_with_other_normalization_rules_is_refused(model, monkeypatch):
    monkeypatch.setitem(RULES, "max_words", RULES["max_words"] + 1)
    with pytest.raises(
        InputError, match=r"model\.onnx is of a version that normalizes titles in another way; export it"
    ):
        OnnxClassifier.load(model.with_suffix(".onnx"))


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(InputError, match=r"a\.onnx is not a file; titles export writes one"):
        OnnxClassifier.load(tmp_path / "a.onnx")


def test_without_onnxruntime_the_error_says_what_to_install(monkeypatch, model):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match="adds it"):
        OnnxClassifier.load(model.with_suffix(".onnx"))


@pytest.mark.services
@pytest.mark.skipif(REAL_DATA is None, reason="TITLES_REAL_DATA does not name the folder of the challenge's titles")
@pytest.mark.parametrize("name", NETWORKS)
def test_all_real_titles_get_the_same_category_as_from_the_classifier(name, tmp_path):
    rows = pd.read_csv(Path(REAL_DATA or "") / "meli-es/train.csv.gz", usecols=["title", "category"])
    rows["cleaned"] = rows.title.map(clean)
    rows["label_quality"] = "reliable"
    # Many words of the other titles are not in the vocabulary.
    splits = {"reduced/train": rows[:6000], "prepared/validation": rows[6000:6500], "prepared/test": rows[6500:6501]}
    for split, table in splits.items():
        (tmp_path / split).parent.mkdir(exist_ok=True)
        table.to_parquet(tmp_path / f"{split}.parquet")
    (tmp_path / "prepared" / "sources.csv").write_text("file,split,bytes,md5\n")
    folders = [tmp_path / folder for folder in ("prepared", "reduced", "word_vectors", "embedded", "vectors.npy")]
    embed(*folders, EmbedParams(16, 100_000, 3, 4, 10_000, 10_000, "none"))
    params = replace(TRAIN, epochs=1, batch_size=64, learning_rate=0.01)
    fit(name, tmp_path / "embedded", tmp_path / "vectors.npy", tmp_path / "model", MODEL, NETWORK_PARAMS[name], params)
    export(tmp_path / "model", tmp_path / "model.onnx")
    assert len(rows) == 47_757
    check((Classifier.load(tmp_path / "model"), OnnxClassifier.load(tmp_path / "model.onnx")), rows.title.tolist())
