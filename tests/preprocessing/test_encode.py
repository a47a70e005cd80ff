import signal
import subprocess
import sys
from itertools import cycle, islice, pairwise

import numpy as np
import pandas as pd
import pytest

from titles.core.disk_full import disk_full_as_input_error
from titles.core.errors import InputError
from titles.data.encoded_dataset import LabelledDataset, Vocabulary
from titles.data.ragged import Ragged
from titles.preprocessing.encode import EmbedParams, embed
from titles.text.vocabulary import hash_ngrams

PARAMS = EmbedParams(
    dimension=2,
    vocabulary_size=100,
    subword_min_n=3,
    subword_max_n=4,
    subword_buckets=1000,
    bigrams=100,
    word_vectors="none",
)
TITLES = {
    "train": [("mesa roja", "HOME"), ("mesa azul", "HOME"), ("zapato rojo", "SHOES"), ("azul mesa mesa 4", "HOME")],
    "validation": [("zapato lila", "SHOES"), ("mesa", "AAA")],
    "test": [("", "HOME"), ("mesa zapato", "ZZZ"), ("tren azul", "MMM")],
}
VOCABULARY = ["mesa", "azul", "4", "roja", "rojo", "zapato"]


def embed_titles(root, titles=TITLES, **params):
    """Run `embed` on these titles; return the folder it writes and its counts."""
    for split, rows in titles.items():
        folder = root / ("reduced" if split == "train" else "prepared")
        folder.mkdir(parents=True, exist_ok=True)
        # Unlabelled titles have no category column.
        columns = ["cleaned"] if split == "unlabelled" else ["cleaned", "category"]
        quality = list(islice(cycle(["reliable", "unknown", "unreliable", "reliable"]), len(rows)))
        table = pd.DataFrame(rows, columns=columns, dtype="str")
        (table if split == "unlabelled" else table.assign(label_quality=quality)).to_parquet(
            folder / f"{split}.parquet"
        )
    (root / "prepared" / "sources.csv").write_text("file,split,bytes,md5\ntrain.csv,train,9,0f\n")
    arguments = (root / "prepared", root / "reduced", root / "word_vectors", root / "embedded", root / "vectors.npy")
    counts = embed(*arguments, EmbedParams(**{**vars(PARAMS), **params}))
    return root / "embedded", counts


def decode(folder, split, words):
    titles = Ragged.load(folder, split)
    return [" ".join(words[word] for word in titles.values[first:last]) for first, last in pairwise(titles.offsets)]


def test_words_are_sorted_by_frequency_then_alphabetically(tmp_path):
    folder, _ = embed_titles(tmp_path)
    assert Vocabulary.load(folder).words == VOCABULARY


@pytest.mark.parametrize("vocabulary_size", [1, 2, 3, 6, 7])
def test_the_vocabulary_holds_the_most_frequent_words_of_train(tmp_path, vocabulary_size):
    folder, counts = embed_titles(tmp_path, vocabulary_size=vocabulary_size)
    assert Vocabulary.load(folder).words == VOCABULARY[:vocabulary_size]
    assert (counts["vocabulary"], counts["other_words"]) == (min(vocabulary_size, 6), 8 - min(vocabulary_size, 6))


@pytest.mark.parametrize(
    ("vocabulary_size", "other_words"),
    [(6, ["lila", "tren"]), (1, ["4", "azul", "lila", "roja", "rojo", "tren", "zapato"])],
)
def test_titles_decode_to_their_words(tmp_path, vocabulary_size, other_words):
    folder, _ = embed_titles(tmp_path, vocabulary_size=vocabulary_size)
    words = Vocabulary.load(folder).words + other_words
    for split, rows in TITLES.items():
        assert decode(folder, split, words) == [title for title, _ in rows]


def test_subword_ids_are_stored_in_the_order_of_the_word_ids(tmp_path):
    folder, _ = embed_titles(tmp_path)
    subword_ids, expected = Ragged.load(folder, "subword_ids"), hash_ngrams([*VOCABULARY, "lila", "tren"], [3, 4], 1000)
    np.testing.assert_array_equal(subword_ids.values, expected.values)
    np.testing.assert_array_equal(subword_ids.offsets, expected.offsets)


def test_categories_that_train_lacks_come_last(tmp_path):
    vocabulary = Vocabulary.load(embed_titles(tmp_path)[0])
    assert (vocabulary.categories, vocabulary.num_trained_categories) == (["HOME", "SHOES", "AAA", "MMM", "ZZZ"], 2)


@pytest.mark.parametrize(("split", "labels"), [("train", [0, 0, 1, 0]), ("validation", [1, 2]), ("test", [0, 4, 3])])
def test_labels_are_category_indices_in_the_order_of_the_file(tmp_path, split, labels):
    stored = LabelledDataset.load(embed_titles(tmp_path)[0], split).labels
    assert (stored.tolist(), stored.dtype) == (labels, np.int32)


def test_an_empty_title_has_no_words(tmp_path):
    assert Ragged.load(embed_titles(tmp_path)[0], "test").offsets.tolist() == [0, 0, 2, 4]


def test_a_split_of_only_empty_titles_has_no_words(tmp_path):
    folder, _ = embed_titles(tmp_path, TITLES | {"test": [("", "HOME"), ("", "SHOES")]})
    assert decode(folder, "test", []) == ["", ""]


def test_unlabelled_titles_have_words_but_no_labels(tmp_path):
    folder, counts = embed_titles(tmp_path, TITLES | {"unlabelled": ["mesa barco", ""]})
    assert decode(folder, "unlabelled", [*VOCABULARY, "barco", "lila", "tren"]) == ["mesa barco", ""]
    assert (counts["unlabelled"], Vocabulary.load(folder).num_trained_categories) == (2, 2)
    assert not (folder / "unlabelled.labels.npy").exists()


def test_a_label_is_reliable_if_its_quality_is_reliable(tmp_path):
    folder, _ = embed_titles(tmp_path)
    assert LabelledDataset.load(folder, "train").reliable.tolist() == [True, False, False, True]
    assert LabelledDataset.load(folder, "validation").reliable.tolist() == [True, False]


def test_the_folder_holds_only_the_documented_files(tmp_path):
    folder, _ = embed_titles(tmp_path)
    ragged = [f"{name}.{array}.npy" for name in ("subword_ids", *TITLES) for array in ("offsets", "values")]
    arrays = [f"{split}.{name}.npy" for split in TITLES for name in ("labels", "reliable")]
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["vocabulary.json", "bigrams.npy", "sources.csv", *ragged, *arrays]
    )


def test_the_counts_are_titles_words_and_trained_categories(tmp_path):
    assert embed_titles(tmp_path)[1] == {
        "train": 4,
        "validation": 2,
        "test": 3,
        "vocabulary": 6,
        "other_words": 2,
        "bigrams": 6,
        "categories": 2,
    }


def test_equal_titles_give_equal_bytes(tmp_path):
    first, again = (
        {
            path.name: path.read_bytes()
            for path in [*embed_titles(tmp_path / run)[0].iterdir(), tmp_path / run / "vectors.npy"]
        }
        for run in ("first", "again")
    )
    assert first == again


def test_without_a_file_of_vectors_there_are_no_initial_vectors(tmp_path):
    embed_titles(tmp_path, dimension=7)
    vectors = np.load(tmp_path / "vectors.npy")
    assert (vectors.shape, vectors.dtype) == ((0, 7), np.float32)


def test_vectors_of_a_file_are_in_the_order_of_the_vocabulary(tmp_path):
    (tmp_path / "word_vectors").mkdir()
    (tmp_path / "word_vectors" / "es.vec").write_text("3 2\nzapato 5 6\nlila 7 8\nMesa 1 2\n")
    embed_titles(tmp_path, word_vectors="es.vec", vocabulary_size=2)
    np.testing.assert_array_equal(np.load(tmp_path / "vectors.npy"), [[1, 2], [np.nan, np.nan]])


def test_a_missing_file_of_vectors_is_reported(tmp_path):
    with pytest.raises(InputError, match=r"embed\.word_vectors: .*es\.vec is not there"):
        embed_titles(tmp_path, word_vectors="es.vec")


KILLED = """
import os, signal, sys
from pathlib import Path
from titles.preprocessing import encode

encode._initial_vectors = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
root = Path(sys.argv[1])
paths = [root / name for name in ("prepared", "reduced", "word_vectors", "embedded", "vectors.npy")]
encode.embed(*paths, encode.EmbedParams(2, 100, 3, 4, 1000, 100, 'none'))
"""


def test_a_killed_run_leaves_the_earlier_outputs(tmp_path):
    folder, _ = embed_titles(tmp_path)
    outputs = [*folder.iterdir(), tmp_path / "vectors.npy"]
    before = {path: path.read_bytes() for path in outputs}
    pd.DataFrame([("barco", "HOME", "unknown")], columns=["cleaned", "category", "label_quality"]).to_parquet(
        tmp_path / "reduced/train.parquet"
    )
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert {path: path.read_bytes() for path in outputs} == before


def test_a_missing_output_of_an_earlier_stage_is_reported(tmp_path):
    embed_titles(tmp_path)
    (tmp_path / "prepared" / "test.parquet").unlink()
    with pytest.raises(InputError, match=r"test\.parquet is not there; run the stage prepare"):
        embed(*(tmp_path / name for name in ("prepared", "reduced", "words", "embedded", "vectors.npy")), PARAMS)


def test_a_full_disk_is_reported(tmp_path, small_disk):
    titles = {split: [(f"mesa {number**3}", "HOME") for number in range(50_000)] for split in TITLES}
    embed_titles(tmp_path, titles)
    paths = [tmp_path / name for name in ("prepared", "reduced", "words")]
    with pytest.raises(InputError, match=f"the disk of {small_disk} is full"), disk_full_as_input_error(small_disk):
        embed(*paths, small_disk / "embedded", small_disk / "vectors.npy", PARAMS)
    assert [path.name for path in small_disk.rglob("*")] == ["embedded"]
