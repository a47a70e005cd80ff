import json
import os

import pytest

from tests.numbered import write_numbered
from titles.core.errors import InputError
from titles.data.encoded_dataset import check_encoded_dataset, required_files


@pytest.fixture
def embedded(tmp_path):
    write_numbered(tmp_path, train=3, validation=2)
    return tmp_path / "embedded"


def check_error(folder):
    """The message of the error that the check raises."""
    with pytest.raises(InputError, match="is not what this version of the stage embed writes") as error:
        check_encoded_dataset(folder, "train", "validation")
    assert str(error.value).endswith("; run the stage embed again")
    return str(error.value)


def test_the_output_of_embed_is_accepted(embedded):
    (embedded / ".unfinished").mkdir()
    check_encoded_dataset(embedded, "train", "validation")


def test_a_missing_folder_or_split_raises_an_error(embedded, tmp_path):
    assert "vocabulary.json" in check_error(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"test\.values\.npy"):
        check_encoded_dataset(embedded, "train", "test")


def test_every_missing_file_is_named(embedded, subtests):
    for file in required_files(embedded, "train", "validation"):
        with subtests.test(file.name):
            file.rename(aside := embedded / "aside")
            assert file.name in check_error(embedded)
            aside.rename(file)


def test_a_truncated_array_raises_an_error(embedded):
    os.truncate(embedded / "train.values.npy", 130)
    assert "train.values.npy" in check_error(embedded)


@pytest.mark.parametrize("changed", [{"subword_lengths": None}, {"ngrams": [2, 5]}, None])
def test_a_vocabulary_of_another_version_raises_an_error(embedded, changed):
    vocabulary = json.loads((embedded / "vocabulary.json").read_text())
    content = (
        [] if changed is None else {key: value for key, value in (vocabulary | changed).items() if value is not None}
    )
    (embedded / "vocabulary.json").write_text(json.dumps(content))
    assert "vocabulary.json" in check_error(embedded)
