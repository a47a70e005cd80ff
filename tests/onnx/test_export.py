import shutil
import sys

import numpy as np
import pytest

from tests.numbered import write_numbered
from titles.cli import main
from titles.core.errors import InputError
from titles.inference.classifier import Classifier
from titles.nn.hparams import MlpParams, ModelParams, TrainParams
from titles.onnx import export as onnx_export
from titles.onnx.classifier import OnnxClassifier
from titles.onnx.export import export
from titles.training.fit import fit

TITLES = ["palabra1 palabra2", "otra", ""]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    root = tmp_path_factory.mktemp("fitted")
    write_numbered(root, train=60, validation=12)
    sizes, params = (
        ModelParams("relu", "trained", 0.0, 0.0, 1),
        TrainParams(0, 1, 1, 1, 1, 8, 0.05, 0.0, 0.0, False, "accuracy"),
    )
    fit("mlp", root / "embedded", root / "vectors.npy", root / "mlp", sizes, MlpParams(1, 8, 4), params)
    return root / "mlp"


def check(model, path):
    """Assert that the file at `path` predicts what the model folder predicts."""
    expected, found = (
        classifier.predict(TITLES, 3) for classifier in (Classifier.load(model), OnnxClassifier.load(path))
    )
    assert found.category.tolist() == expected.category.tolist()
    np.testing.assert_allclose(found.score, expected.score, rtol=1e-5)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_titles_export_writes_one_file(model, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["titles", "export", str(model), "-o", str(tmp_path / "mlp.onnx")])
    main()
    assert names(tmp_path) == ["mlp.onnx"]
    check(model, tmp_path / "mlp.onnx")


def test_an_existing_file_is_replaced_and_a_second_export_has_equal_bytes(model, tmp_path):
    (tmp_path / "mlp.onnx").write_text("old content")
    export(model, tmp_path / "mlp.onnx")
    first = (tmp_path / "mlp.onnx").read_bytes()
    export(model, tmp_path / "mlp.onnx")
    assert (tmp_path / "mlp.onnx").read_bytes() == first


def test_a_folder_of_one_model_folder_is_exported(model, tmp_path):
    shutil.copytree(model, tmp_path / "models" / "mlp")
    export(tmp_path / "models", tmp_path / "mlp.onnx")
    check(model, tmp_path / "mlp.onnx")


def test_weights_too_large_for_the_file_go_to_a_data_file(model, monkeypatch, tmp_path):
    monkeypatch.setattr(onnx_export, "MAX_INLINE_BYTES", 1000)
    export(model, tmp_path / "mlp.onnx")
    assert names(tmp_path) == ["mlp.onnx", "mlp.onnx.data"]
    check(model, tmp_path / "mlp.onnx")
    (tmp_path / "elsewhere").mkdir()
    for name in ("mlp.onnx", "mlp.onnx.data"):
        (tmp_path / name).rename(tmp_path / "elsewhere" / name)
    check(model, tmp_path / "elsewhere" / "mlp.onnx")


def test_a_folder_of_several_networks_is_refused(model, tmp_path):
    for name in ("one", "other"):
        shutil.copytree(model, tmp_path / name)
    with pytest.raises(InputError, match=r"holds several networks; give one of .*one, .*other"):
        export(tmp_path, tmp_path / "a.onnx")


def test_a_folder_without_a_network_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no network; give a model folder"):
        export(tmp_path, tmp_path / "a.onnx")


@pytest.mark.parametrize("path", ["nowhere/a.onnx", "."])
def test_a_path_that_cannot_be_a_file_is_refused(model, tmp_path, path):
    with pytest.raises(InputError, match="cannot be written; give a file in a folder that exists"):
        export(model, tmp_path / path)


@pytest.mark.parametrize("package", ["onnx_ir", "onnxscript"])
def test_without_a_package_the_error_says_what_to_install(model, monkeypatch, tmp_path, package):
    monkeypatch.delitem(sys.modules, "titles.onnx.graph", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=f"{package} is not installed; pip install"):
        export(model, tmp_path / "a.onnx")


def test_a_full_disk_is_named_and_an_existing_file_stays(model, small_disk):
    (small_disk / "a.onnx").write_text("old content")
    (small_disk / "b").write_bytes(bytes(1_040_000))
    with pytest.raises(InputError, match=f"the disk of {small_disk}/a.onnx is full"):
        export(model, small_disk / "a.onnx")
    assert names(small_disk) == ["a.onnx", "b"]
    assert (small_disk / "a.onnx").read_text() == "old content"
