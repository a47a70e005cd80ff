import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.inference.forked import forked_predict_status
from titles.core.errors import InputError
from titles.data.encoded_dataset import LabelledDataset, Vocabulary
from titles.data.ragged import Ragged
from titles.inference.classifier import Classifier
from titles.nn.hparams import CnnParams, MlpParams, ModelParams, TrainParams
from titles.nn.networks import predict
from titles.persistence.model_folder import NETWORKS, load
from titles.preprocessing.encode import EmbedParams, embed
from titles.text.normalization import clean
from titles.training.fit import fit

EMBED = EmbedParams(
    dimension=6,
    vocabulary_size=8,
    subword_min_n=3,
    subword_max_n=4,
    subword_buckets=97,
    bigrams=100,
    word_vectors="none",
)
MODEL = ModelParams("relu", "trained", dropout=0.1, word_dropout=0.1, ensemble_size=2)
NETWORK_PARAMS = {"mlp": MlpParams(1, 8, 4), "cnn": CnnParams(8, 1, 2)}
TRAIN = TrainParams(0, 1, 2, 1, 2, 4, 0.05, 0.0, 0.0, False, "accuracy")

TITLES = {
    "train": [("Mesa roja", "HOME"), ("Silla y mesa", "HOME"), ("Zapato rojo", "SHOES"), ("Bota zapato", "SHOES")] * 3
    + [("Taladro", "TOOLS"), ("Sierra taladro", "TOOLS")],
    "validation": [("mesa", "HOME"), ("bota", "SHOES")],
    # Rare and new words have only subword ids, and one category is not in train.
    "test": [
        ("Mesón 80 cm", "HOME"),
        ("sierra", "TOOLS"),
        ("ñandú", "ANIMALS"),
        ("¡¿mesa?!", "HOME"),
        ("bota BOTA", "SHOES"),
    ],
}
TEST = [title for title, _ in TITLES["test"]]


@pytest.fixture(scope="module", params=NETWORKS)
def trained(request, tmp_path_factory):
    """The folder of the embedded titles, and the model folder of a network fitted to them."""
    root = tmp_path_factory.mktemp(request.param)
    for split, rows in TITLES.items():
        folder = root / ("reduced" if split == "train" else "prepared")
        folder.mkdir(exist_ok=True)
        table = pd.DataFrame(rows, columns=["title", "category"])
        table.assign(cleaned=table.title.map(clean), label_quality="unknown").to_parquet(folder / f"{split}.parquet")
    (root / "prepared" / "sources.csv").write_text("file,split,bytes,md5\n")
    vectors = root / "vectors.npy"
    embed(root / "prepared", root / "reduced", root / "word_vectors", root / "embedded", vectors, EMBED)
    own = NETWORK_PARAMS[request.param]
    fit(request.param, root / "embedded", vectors, root / "model", MODEL, own, TRAIN)
    return root / "embedded", root / "model"


@pytest.fixture(scope="module")
def classifier(trained):
    return Classifier.load(trained[1])


@pytest.mark.parametrize("top", [1, 2, 3])
def test_every_title_gets_its_top_categories_in_the_order_of_the_titles(classifier, top):
    found = classifier.predict(TEST, top)
    assert list(found.columns) == ["title", "category", "score", "reason"]
    assert found.reason.isna().all()
    assert found.title.tolist() == [title for title in TEST for _ in range(top)]
    assert all(group.nunique() == top for _, group in found.category.groupby(found.index // top))
    assert set(found.category) <= {"HOME", "SHOES", "TOOLS"}


def test_scores_are_sorted_and_those_of_all_categories_add_up_to_one(classifier):
    scores = classifier.predict(TEST, top=3).score.to_numpy().reshape(-1, 3)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert (np.diff(scores, axis=1) <= 0).all()
    np.testing.assert_allclose(scores.sum(1), 1, rtol=1e-5)


def test_fewer_categories_are_the_best_of_more(classifier):
    more = classifier.predict(TEST, top=3)
    pd.testing.assert_frame_equal(classifier.predict(TEST), more[::3].reset_index(drop=True))


def test_predictions_are_those_of_the_network_on_the_embedded_titles(trained, classifier):
    embedded, model = trained
    network, vocabulary = load(model)
    titles = LabelledDataset.load(embedded, "test").titles
    logits = torch.cat(list(predict(network, titles, Ragged.load(embedded, "subword_ids"))))
    best = logits.softmax(1).topk(3)
    found = classifier.predict(TEST, top=3)
    assert found.category.tolist() == [vocabulary.categories[label] for label in best.indices.flatten()]
    np.testing.assert_allclose(found.score, best.values.flatten(), rtol=1e-5)


@pytest.mark.parametrize(("titles", "threads"), [(1, 1), (31, 1), (32, 3)])
def test_few_titles_are_predicted_on_one_thread(classifier, titles, threads):
    (network,) = classifier.networks.values()
    before, seen = torch.get_num_threads(), []
    torch.set_num_threads(3)
    hook = network.word_vectors.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    try:
        classifier.predict(["mesa roja"] * titles)
        assert (seen, torch.get_num_threads()) == ([threads], 3)
    finally:
        hook.remove()
        torch.set_num_threads(before)


@pytest.mark.parametrize("title", ["xyzzy", "x", "xyzzy 12345 qwerty"])
def test_a_title_of_no_known_word_gets_a_prediction_alone_and_among_others(classifier, title):
    alone = classifier.predict([title])
    among = classifier.predict(["mesa roja", title, "mesa"])[1:2].reset_index(drop=True)
    pd.testing.assert_frame_equal(among, alone, rtol=1e-5)
    assert alone.title.tolist() == [title]
    assert alone.reason.isna().all()


@pytest.mark.parametrize("top", [1, 3])
def test_a_title_without_a_usable_word_has_one_row_with_a_reason(classifier, top):
    found = classifier.predict(["mesa", None, "", "¡¿...?!", "電話", float("nan"), "bota"], top)
    unusable = found[found.category.isna()]
    letters = "no Latin letter or digit"
    assert unusable.reason.tolist() == ["no title", "no title", letters, letters, "no title"]
    assert unusable.title.fillna("missing").tolist() == ["missing", "", "¡¿...?!", "電話", "missing"]
    assert unusable.score.isna().all()
    others = found.drop(unusable.index).reset_index(drop=True)
    pd.testing.assert_frame_equal(others, classifier.predict(["mesa", "bota"], top))


def test_none_of_several_networks_has_a_category_for_a_title_without_a_usable_word(trained, tmp_path):
    for name in ("one", "other"):
        shutil.copytree(trained[1], tmp_path / name)
    top_k = Classifier.load(tmp_path).top_k_per_network(pa.array(["mesa", "電話"]), top=2)
    assert {name: np.isnan(scores).all(1).tolist() for name, (_, scores) in top_k.items()} == {
        name: [False, True] for name in ("one", "other", "mean")
    }


def test_the_networks_are_on_the_requested_device_and_by_default_on_the_cpu(trained):
    for device, arguments in (("cpu", []), ("meta", [None, "meta"])):
        (network,) = Classifier.load(trained[1], *arguments).networks.values()
        assert {weights.device.type for weights in network.parameters()} == {device}


def test_a_network_called_mean_is_refused_beside_others(trained, tmp_path):
    for name in ("mean", "other"):
        shutil.copytree(trained[1], tmp_path / name)
    with pytest.raises(InputError, match="a network called mean, the name of the average"):
        Classifier.load(tmp_path)


def test_an_out_of_vocabulary_word_counts_by_its_subwords(classifier):
    similar, other = classifier.predict(["mesita", "qwerty"]).score
    assert similar != other


@pytest.mark.parametrize(
    "title", ["silla y bota", "SILLA Y BOTA", "Sílla  ý botâ!", "  silla/y-bota", "si\u0301lla y bota"]
)
def test_case_accents_and_punctuation_do_not_matter(classifier, title):
    expected = classifier.predict(["Silla y bota"], top=3).drop(columns="title")
    pd.testing.assert_frame_equal(classifier.predict([title], top=3).drop(columns="title"), expected)


def test_the_prediction_of_a_title_does_not_depend_on_the_others(classifier):
    batch = classifier.predict(TEST, top=3).score
    alone = pd.concat([classifier.predict([title], top=3).score for title in TEST], ignore_index=True)
    np.testing.assert_allclose(batch, alone, rtol=1e-5)


def test_more_titles_than_a_batch_are_all_predicted(classifier):
    found = classifier.predict(TEST * 500)
    assert found.title.tolist() == TEST * 500
    np.testing.assert_allclose(found.score, np.tile(classifier.predict(TEST).score, 500), rtol=1e-5)


@pytest.mark.parametrize("kind", [tuple, np.array, pd.Series, pa.array])
def test_titles_may_be_any_sequence(classifier, kind):
    pd.testing.assert_frame_equal(classifier.predict(kind(TEST)), classifier.predict(TEST))


def test_the_rows_have_the_index_of_a_series(classifier):
    index = pd.Index(["e", "d", "c", "b", "a"], name="sku")
    found = classifier.predict(pd.Series([*TEST[:4], None], index=index), top=2)
    assert found.index.tolist() == ["e", "e", "d", "d", "c", "c", "b", "b", "a"]
    assert found.index.name == "sku"
    expected = classifier.predict([*TEST[:4], None], top=2)
    pd.testing.assert_frame_equal(found.reset_index(drop=True), expected)


@pytest.mark.parametrize(
    ("titles", "top", "error", "message"),
    [
        (pd.DataFrame({"title": ["mesa"]}), 1, TypeError, "titles are a DataFrame; pass its column"),
        (["mesa", 7], 1, TypeError, "title 1 is 7, of type int"),
        ("mesa", 1, TypeError, "titles are a list of texts"),
        (["mesa"], 0, ValueError, "top is 0; a title gets 1 category or more"),
        (["mesa"], -1, ValueError, "top is -1"),
        (["mesa"], True, TypeError, "top is True"),
    ],
)
def test_other_arguments_are_refused(classifier, titles, top, error, message):
    with pytest.raises(error, match=message):
        classifier.predict(titles, top)


def test_top_above_the_number_of_categories_gives_all(classifier):
    assert len(classifier.predict(["mesa"], top=99)) == 3


def test_a_forked_child_predicts_what_its_parent_does(trained):
    assert forked_predict_status(Classifier, trained[1]) == 0


def test_no_titles_give_no_rows(classifier):
    found = classifier.predict([])
    assert (len(found), list(found.columns)) == (0, ["title", "category", "score", "reason"])


def test_the_folder_may_be_moved_and_is_all_a_classifier_needs(trained, classifier, tmp_path, monkeypatch):
    shutil.copytree(trained[1], tmp_path / "elsewhere" / "model")
    monkeypatch.chdir(tmp_path / "elsewhere")
    pd.testing.assert_frame_equal(Classifier.load("model").predict(TEST, 3), classifier.predict(TEST, 3))


@pytest.mark.parametrize("size", [0, None], ids=["emptied", "filled with NaN"])
def test_weights_overwritten_in_place_do_not_change_an_open_classifier(trained, tmp_path, size):
    shutil.copytree(trained[1], tmp_path / "model")
    classifier = Classifier.load(tmp_path / "model")
    weights = tmp_path / "model" / "weights.safetensors"
    # Overwritten in place, as by `cp`; floats of bytes 255 are NaN.
    with weights.open("r+b") as file:
        file.write(b"\xff" * weights.stat().st_size)
        file.truncate(size)
    pd.testing.assert_frame_equal(classifier.predict(TEST, 3), Classifier.load(trained[1]).predict(TEST, 3))


def test_a_category_that_is_not_in_train_is_in_the_vocabulary_but_never_predicted(trained, classifier):
    assert Vocabulary.load(trained[1]).categories == ["HOME", "SHOES", "TOOLS", "ANIMALS"]
    assert "ANIMALS" not in set(classifier.predict(TEST, top=3).category)


def test_a_folder_of_several_networks_gives_the_mean_of_their_scores(trained, classifier, tmp_path):
    for name in ("one", "other"):
        shutil.copytree(trained[1], tmp_path / name)
    weights = load_file(tmp_path / "other" / "weights.safetensors")
    save_file(weights | {"output.bias": -weights["output.bias"] - 1}, tmp_path / "other" / "weights.safetensors")
    alone = [Classifier.load(tmp_path / name).predict(TEST, 3) for name in ("one", "other")]
    by_category = [found.assign(row=found.index // 3).set_index(["row", "category"]).score for found in alone]
    mean = Classifier.load(tmp_path).predict(TEST, 3)
    found = mean.assign(row=mean.index // 3).set_index(["row", "category"]).score
    pd.testing.assert_series_equal(found.sort_index(), ((by_category[0] + by_category[1]) / 2).sort_index())
    assert not np.allclose(alone[0].score, alone[1].score)


def test_networks_with_different_vocabularies_are_refused(trained, tmp_path):
    for name in ("one", "other"):
        shutil.copytree(trained[1], tmp_path / name)
    vocabulary = Vocabulary.load(tmp_path / "one")
    replace(vocabulary, words=vocabulary.words[::-1]).save(tmp_path / "other")
    with pytest.raises(InputError, match=r"one and .*other have different words or categories; train them on the same"):
        Classifier.load(tmp_path)


def test_a_folder_without_a_network_is_reported(tmp_path):
    with pytest.raises(InputError, match="holds no network; give a model folder, such as models/mlp"):
        Classifier.load(tmp_path)
