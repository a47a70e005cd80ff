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


def refused(folder):
    """What the check says of the folder."""
    with pytest.raises(InputError, match="is not what this version of the stage embed writes") as error:
        check_encoded_dataset(folder, "train", "validation")
    assert str(error.value).endswith("; run the stage embed again")
    return str(error.value)


def test_what_embed_writes_is_accepted(embedded):
    (embedded / ".unfinished").mkdir()
    check_encoded_dataset(embedded, "train", "validation")


def test_a_missing_folder_or_split_is_refused(embedded, tmp_path):
    assert "vocabulary.json" in refused(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"test\.values\.npy"):
        check_encoded_dataset(embedded, "train", "test")


def test_every_missing_file_is_named(embedded, subtests):
    for file in required_files(embedded, "train", "validation"):
        with subtests.test(file.name):
            file.rename(aside := embedded / "aside")
            assert file.name in refused(embedded)
            aside.rename(file)


def test_an_array_cut_short_is_refused(embedded):
    os.truncate(embedded / "train.values.npy", 130)
    assert "train.values.npy" in refused(embedded)


@pytest.mark.parametrize("changed", [{"subword_lengths": None}, {"ngrams": [2, 5]}, None])
def test_a_lexicon_of_another_version_is_refused(embedded, changed):
    lexicon = json.loads((embedded / "vocabulary.json").read_text())
    content = [] if changed is None else {key: value for key, value in (lexicon | changed).items() if value is not None}
    (embedded / "vocabulary.json").write_text(json.dumps(content))
    assert "vocabulary.json" in refused(embedded)
