import csv
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from itertools import chain

import numpy as np
import pyarrow as pa
import pytest
import torch

from titles.core.errors import InputError
from titles.data.encoded_dataset import LabelledDataset, Vocabulary
from titles.data.ragged import Ragged
from titles.nn.hparams import CnnParams, MlpParams, ModelParams, TrainParams
from titles.nn.networks import predict
from titles.nn.word_embedding import Sizes
from titles.persistence.model_folder import NETWORKS, load
from titles.text.vocabulary import hash_ngrams, lookup_word_ids, split_words
from titles.training.checkpoint import Checkpoint
from titles.training.fit import fit
from titles.training.suspect_search import SuspectSearch
from titles.training.train_step import set_determinism
from titles.training.trainer import train
from titles.training.validation import calibrate

VOCABULARY = Vocabulary(["casa", "ropa", "sin ver"], [6, 2], [3, 4], 50, ["mesa", "silla", "camisa", "falda"])
OTHER_WORDS = ["mesita"]
NETWORK_PARAMS = {"mlp": MlpParams(1, 5, 4), "cnn": CnnParams(4, 1, 2)}
MODEL = ModelParams("gelu", "trained", dropout=0.2, word_dropout=0.1, ensemble_size=2)
PARAMS = TrainParams(0, 1, 1, 1, 1, 4, 0.05, 0.01, 0.1, False, "balanced_accuracy")
TITLES = ["mesa silla", "", "camisa", "falda camisa", "mesita silla", "falda"]

both_networks = pytest.mark.parametrize("name", NETWORKS)


def ragged(rows):
    return Ragged(np.array(list(chain(*rows)), np.int32), np.cumsum([0, *map(len, rows)]))


@pytest.fixture
def embedded(tmp_path):
    """A folder in the format of data/embedded, and a vectors.npy without pretrained vectors next to it."""
    folder = tmp_path / "embedded"
    folder.mkdir()
    VOCABULARY.save(folder)
    hash_ngrams(VOCABULARY.words + OTHER_WORDS, VOCABULARY.subword_lengths, VOCABULARY.subword_buckets).save(
        folder, "subword_ids"
    )
    for split, titles, labels in [
        ("train", [[0, 1], [1], [2], [3, 2], [0], [3]], [0, 0, 1, 1, 0, 1]),
        ("validation", [[1, 4], [3], []], [0, 1, 2]),
    ]:
        ragged(titles).save(folder, split)
        np.save(folder / f"{split}.labels.npy", np.array(labels, np.int32))
        np.save(folder / f"{split}.reliable.npy", np.zeros(len(labels), bool))
    np.save(folder / "bigrams.npy", np.array([1 << 32 | 0]))
    (folder / "sources.csv").write_text("file,split,bytes,md5\ntrain.csv.gz,train,1234,0f\n")
    np.save(tmp_path / "vectors.npy", np.empty((0, 6), np.float32))
    return folder


def fitted(embedded, name):
    """The model folder of a network trained on `embedded`."""
    root = embedded.parent
    fit(name, embedded, root / "vectors.npy", root / "models" / name, MODEL, NETWORK_PARAMS[name], PARAMS)
    return root / "models" / name


def logits(network, titles, subword_ids):
    return torch.cat(list(predict(network, titles, subword_ids)))


@both_networks
def test_a_loaded_network_gives_the_logits_of_the_trained_one(embedded, tmp_path, name):
    loaded, vocabulary = load(fitted(embedded, name))
    set_determinism(PARAMS, torch.device("cpu"))
    trained = NETWORKS[name][0](Sizes(4, 50, 1, 6, 2), MODEL, NETWORK_PARAMS[name])
    training, validation = LabelledDataset.load(embedded, "train"), LabelledDataset.load(embedded, "validation")
    subword_ids = Ragged.load(embedded, "subword_ids")
    checkpoint = Checkpoint(tmp_path / "checkpoints" / "this")
    train(trained, training, validation, subword_ids, PARAMS, checkpoint, lambda _: None)
    calibrate(trained, validation, subword_ids, vocabulary)
    assert torch.equal(logits(loaded, training.titles, subword_ids), logits(trained, training.titles, subword_ids))
    assert vocabulary == VOCABULARY


@both_networks
def test_a_model_folder_needs_no_other_file(embedded, tmp_path_factory, name):
    alone = tmp_path_factory.mktemp("elsewhere") / "model"
    folder = fitted(embedded, name)
    before, _ = load(folder)
    titles = LabelledDataset.load(embedded, "validation").titles
    expected = logits(before, titles, Ragged.load(embedded, "subword_ids"))
    shutil.move(folder, alone)
    shutil.rmtree(embedded.parent)
    network, vocabulary = load(alone)
    words = [*vocabulary.words, "mesita"]
    word_ids = lookup_word_ids(split_words(pa.array(["silla mesita", "falda", ""])), pa.array(words))
    subword_ids = hash_ngrams(words, vocabulary.subword_lengths, vocabulary.subword_buckets)
    assert torch.equal(logits(network, word_ids, subword_ids), expected)
    assert sorted(path.name for path in alone.iterdir()) == [
        "README.md",
        "history.csv",
        "network.json",
        "vocabulary.json",
        "weights.safetensors",
    ]


@both_networks
def test_the_history_of_a_model_folder_is_that_of_its_training(embedded, tmp_path, name):
    reported, params = [], replace(PARAMS, epochs=3, patience=3)
    folder = tmp_path / name
    epochs = fit(name, embedded, tmp_path / "vectors.npy", folder, MODEL, NETWORK_PARAMS[name], params, reported.append)
    with (folder / "history.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [{column: str(value) for column, value in asdict(epoch).items()} for epoch in epochs]
    assert reported == epochs and len(epochs) == 3


@both_networks
def test_two_fits_give_the_same_bytes(embedded, tmp_path, name):
    def contents():
        files = [*fitted(embedded, name).iterdir()]
        return {path.name: path.read_bytes() for path in files}

    assert contents() == contents()


def test_training_starts_from_the_given_vectors(embedded, tmp_path):
    vectors = np.arange(24, dtype=np.float32).reshape(4, 6)
    np.save(tmp_path / "vectors.npy", vectors)
    frozen = ModelParams("gelu", "frozen", dropout=0.0, word_dropout=0.0, ensemble_size=2)
    fit("mlp", embedded, tmp_path / "vectors.npy", tmp_path / "mlp", frozen, NETWORK_PARAMS["mlp"], PARAMS)
    loaded = load(tmp_path / "mlp")[0].eval().word_vectors
    assert torch.equal(loaded.own.weight, loaded.normalise(torch.from_numpy(vectors), torch.arange(4)))


def test_a_network_without_subwords_has_an_empty_table_of_them(embedded):
    Vocabulary(VOCABULARY.categories, [6, 2], [], 50, VOCABULARY.words).save(embedded)
    ragged([[]] * 5).save(embedded, "subword_ids")
    folder = fitted(embedded, "mlp")
    assert json.loads((folder / "network.json").read_text())["sizes"]["buckets"] == 0
    assert load(folder)[0].word_vectors.subwords.weight.shape == (0, 6)


def test_a_dimension_that_is_not_divisible_by_the_ensemble_size_is_refused(embedded, tmp_path):
    np.save(tmp_path / "vectors.npy", np.empty((0, 7), np.float32))
    with pytest.raises(InputError, match=r"embed\.dimension is 7, which model\.ensemble_size, 2, does not divide"):
        fitted(embedded, "mlp")


@both_networks
def test_a_model_folder_with_other_rules_of_normalization_is_refused(embedded, name):
    folder = fitted(embedded, name)
    description = json.loads((folder / "network.json").read_text())
    description["normalization"]["max_words"] += 1
    (folder / "network.json").write_text(json.dumps(description))
    with pytest.raises(
        InputError, match=r"^[^ ]+ is of a version that normalizes titles in another way; train it again$"
    ):
        load(folder)


@both_networks
def test_an_unfinished_folder_of_a_killed_embed_does_not_affect_training(embedded, name):
    (embedded / ".unfinished").mkdir()
    load(fitted(embedded, name))


def test_vectors_that_a_killed_embed_has_not_written_are_named(embedded):
    (embedded.parent / "vectors.npy").unlink()
    with pytest.raises(InputError, match=r"vectors\.npy is not there; run the stage embed to its end first"):
        fitted(embedded, "mlp")


def shorten_vocabulary(folder):
    vocabulary = json.loads((folder / "vocabulary.json").read_text())
    (folder / "vocabulary.json").write_text(json.dumps(vocabulary | {"words": vocabulary["words"][:2]}))


def rename_network(folder):
    description = json.loads((folder / "network.json").read_text())
    (folder / "network.json").write_text(json.dumps(description | {"network": "rnn"}))


DAMAGES = {
    "truncated weights": lambda folder: os.truncate(folder / "weights.safetensors", 100),
    "no weights": lambda folder: (folder / "weights.safetensors").unlink(),
    "no vocabulary": lambda folder: (folder / "vocabulary.json").unlink(),
    "a truncated vocabulary": lambda folder: os.truncate(folder / "vocabulary.json", 20),
    "the vocabulary of another network": shorten_vocabulary,
    "a truncated network.json": lambda folder: os.truncate(folder / "network.json", 20),
    "a network.json that is a list": lambda folder: (folder / "network.json").write_text("[]"),
    "an invalid network": rename_network,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model_folder_is_named(embedded, damage):
    folder = fitted(embedded, "mlp")
    DAMAGES[damage](folder)
    expected = r"models/mlp is not a complete model folder .*; train it again or fetch it anew"
    with pytest.raises(InputError, match=expected):
        load(folder)


def test_a_model_folder_of_an_earlier_version_is_refused_with_what_to_do(embedded):
    folder = fitted(embedded, "mlp")
    description = json.loads((folder / "network.json").read_text())
    description["cleaning"] = description.pop("normalization")
    (folder / "network.json").write_text(json.dumps(description))
    with pytest.raises(InputError) as error:
        load(folder)
    assert str(error.value) == (
        f"{folder} was written by an earlier version of titles; train it again or fetch it anew"
    )


def test_all_files_of_a_model_folder_have_the_same_mode(embedded):
    assert len({path.stat().st_mode for path in fitted(embedded, "mlp").iterdir()}) == 1


def test_loading_a_model_does_not_import_the_compiler_of_torch(embedded):
    loading = f"from titles.inference.classifier import Classifier; Classifier.load({str(fitted(embedded, 'cnn'))!r})"
    script = f"import sys; {loading}; print(*sys.modules)"
    assert "torch._dynamo" not in subprocess.check_output([sys.executable, "-c", script], text=True).split()


def test_both_networks_exclude_the_suspects_of_one_search(embedded, monkeypatch):
    searches = []

    def find(self, training, validation):
        searches.append(len(training))
        return np.arange(len(training)) == 0, np.zeros(len(validation), bool)

    monkeypatch.setattr(SuspectSearch, "find", find)
    params = replace(PARAMS, drop_suspect_labels=True)
    for name in ("mlp", "cnn", "mlp"):
        folder = embedded.parent / "models" / name
        fit(name, embedded, embedded.parent / "vectors.npy", folder, MODEL, NETWORK_PARAMS[name], params)
        assert json.loads((folder / "network.json").read_text())["suspect_labels"] == 1
    assert searches == [6]


def test_another_seed_needs_another_search(embedded, monkeypatch):
    searches = []

    def find(self, training, validation):
        searches.append(self.params.seed)
        return np.zeros(len(training), bool), np.zeros(len(validation), bool)

    monkeypatch.setattr(SuspectSearch, "find", find)
    for seed in (1, 2):
        params = replace(PARAMS, drop_suspect_labels=True, seed=seed)
        fit(
            "mlp",
            embedded,
            embedded.parent / "vectors.npy",
            embedded.parent / "mlp",
            MODEL,
            NETWORK_PARAMS["mlp"],
            params,
        )
    assert searches == [1, 2]
