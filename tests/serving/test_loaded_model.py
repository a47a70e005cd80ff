import json
import shutil
import subprocess

import pytest
from safetensors.torch import load_file, save_file

from tests.fitted import fit_both
from titles.core.errors import InputError
from titles.inference.classifier import Classifier
from titles.serving.loaded_model import load_model


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    return fit_both(tmp_path_factory.mktemp("fitted"))


@pytest.fixture
def models(fitted, tmp_path):
    return shutil.copytree(fitted, tmp_path / "models", ignore=shutil.ignore_patterns(".*"))


@pytest.mark.parametrize(("folder", "files"), [(".", "*/"), ("mlp", "")])
def test_the_hash_equals_that_of_sha256sum(models, folder, files):
    shutil.copytree(models / "mlp", models / "mlp-2")
    names = "{vocabulary.json,network.json,weights.safetensors}"
    command = f"sha256sum {files}{names} | LC_ALL=C sort -k2 | sha256sum"
    printed = subprocess.check_output(["bash", "-c", command], cwd=models / folder, text=True)
    assert load_model(models / folder, None).hash == printed.split()[0]


def test_every_model_file_changes_the_hash(models):
    before = load_model(models, None).hash
    shutil.copyfile(models / "mlp" / "README.md", models / "cnn" / "README.md")
    assert load_model(models, None).hash == before
    with (models / "cnn" / "network.json").open("a") as file:
        file.write(" ")
    assert load_model(models, None).hash != before


def test_a_model_has_a_name_a_version_and_thresholds(models):
    model = load_model(models / "mlp", None)
    assert (model.name, model.version) == ("mlp", "1.0.0")
    assert list(model.thresholds) == ["mlp"]
    assert list(load_model(models, None).thresholds) == ["cnn", "mlp"]


def test_the_commit_is_that_of_the_checkout_that_holds_the_folder(models):
    assert load_model(models, None).commit is None

    def git(*arguments):
        author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        return subprocess.check_output(["git", *author, *arguments], cwd=models.parent, text=True).strip()

    git("init", "--quiet")
    (models.parent / "dvc.lock").write_text("one")
    git("add", "dvc.lock")
    git("commit", "--quiet", "--message", "one")
    assert load_model(models, None).commit == git("rev-parse", "HEAD")
    (models.parent / "dvc.lock").write_text("another")
    assert load_model(models, None).commit == f"{git('rev-parse', 'HEAD')}-dirty"


def test_a_folder_that_changes_while_it_is_read_is_refused(models, monkeypatch):
    load = Classifier.load

    def load_and_overwrite(*arguments):
        classifier = load(*arguments)
        shutil.copyfile(models / "cnn" / "network.json", models / "mlp" / "network.json")
        return classifier

    monkeypatch.setattr(Classifier, "load", load_and_overwrite)
    with pytest.raises(InputError, match="models was changed while it was read; load it again"):
        load_model(models, None)


def test_a_folder_that_is_removed_while_it_is_read_is_refused(models, monkeypatch):
    load = Classifier.load

    def load_and_remove(*arguments):
        classifier = load(*arguments)
        shutil.rmtree(models)
        return classifier

    monkeypatch.setattr(Classifier, "load", load_and_remove)
    with pytest.raises(InputError, match="models was changed while it was read; load it again"):
        load_model(models, None)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(models, value):
    file = models / "cnn" / "weights.safetensors"
    weights = load_file(file)
    next(one for one in weights.values() if one.is_floating_point()).view(-1)[0] = value
    save_file(weights, file)
    with pytest.raises(InputError, match="the weights of cnn are not finite"):
        load_model(models, None)


@pytest.mark.parametrize("name", ["weights.safetensors", "vocabulary.json", "network.json"])
def test_a_folder_with_a_missing_file_is_refused(models, name):
    (models / "mlp" / name).unlink()
    with pytest.raises(InputError, match=r"mlp (is not a complete model folder|holds no network)"):
        load_model(models / "mlp", None)


def test_a_model_without_versions_and_thresholds_is_loaded(models):
    file = models / "mlp" / "network.json"
    description = json.loads(file.read_text())
    del description["versions"], description["thresholds"]
    file.write_text(json.dumps(description))
    model = load_model(models / "mlp", None)
    assert (model.version, model.thresholds) == ("", {"mlp": []})
