import bz2
import gzip
from pathlib import Path

import numpy as np
import pytest

from titles.core.errors import InputError
from titles.text.pretrained_vectors import read_word_vectors

TEXT = "3 2\nde 1 -2\ncasa 0.5 1e-3\nmesa 3 4\n"
WRITERS = {"vectors.vec": bytes, "vectors.vec.gz": gzip.compress, "vectors.vec.bz2": bz2.compress}


def read(path: Path, content: str | bytes, words: list[str]):
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_word_vectors(path, words, dimension=2)


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_reads_the_same_however_it_is_compressed(tmp_path, name):
    vectors = read(tmp_path / name, WRITERS[name](TEXT.encode()), ["casa", "de"])
    np.testing.assert_array_equal(vectors, np.array([[0.5, 1e-3], [1, -2]], np.float32), strict=True)


def test_a_word_that_the_file_lacks_is_nan(tmp_path):
    vectors = read(tmp_path / "vectors.vec", TEXT, ["sofa", "mesa"])
    np.testing.assert_array_equal(vectors, [[np.nan, np.nan], [3, 4]])


def test_no_words_have_no_vectors(tmp_path):
    assert read(tmp_path / "vectors.vec", TEXT, []).shape == (0, 2)


def test_words_of_the_file_are_cleaned_as_titles_are(tmp_path):
    np.testing.assert_array_equal(read(tmp_path / "vectors.vec", "1 2\nTeléfono 1 2\n", ["telefono"]), [[1, 2]])


def test_the_first_of_several_words_that_clean_alike_counts(tmp_path):
    content = "3 2\nteléfono 1 2\ntelefono 3 4\nTELEFONO 5 6\n"
    np.testing.assert_array_equal(read(tmp_path / "vectors.vec", content, ["telefono"]), [[1, 2]])


@pytest.mark.parametrize("ending", [" \n", "\r\n", ""])
def test_the_end_of_a_line_is_ignored(tmp_path, ending):
    np.testing.assert_array_equal(read(tmp_path / "vectors.vec", f"1 2\ncasa 1 2{ending}", ["casa"]), [[1, 2]])


def test_invalid_utf8_is_accepted(tmp_path):
    np.testing.assert_array_equal(read(tmp_path / "vectors.vec", b"2 2\n\xff\xfe 9 9\ncasa 1 2\n", ["casa"]), [[1, 2]])


def test_vectors_of_another_dimension_are_refused_with_the_dimension_to_set(tmp_path):
    with pytest.raises(InputError, match=r"vectors\.vec: .* have 3 numbers; set embed\.dimension to that instead of 2"):
        read(tmp_path / "vectors.vec", "1 3\ncasa 1 2 3\n", ["casa"])


@pytest.mark.parametrize("content", ["", "casa 1 2\n", "casa 1\n", "1\n"])
def test_a_file_without_a_header_is_refused(tmp_path, content):
    with pytest.raises(InputError, match=r"vectors\.vec, line 1: .*count dimension"):
        read(tmp_path / "vectors.vec", content, ["casa"])


@pytest.mark.parametrize("line", ["casa 1", "casa 1 2 3", "casa 1 x", "casa"])
def test_a_malformed_line_is_named(tmp_path, line):
    with pytest.raises(InputError, match=r"vectors\.vec, line 3: not 2 numbers"):
        read(tmp_path / "vectors.vec", f"2 2\nde 1 2\n{line}\n", ["casa", "de"])


def test_a_missing_file_is_named_with_its_parameter(tmp_path):
    with pytest.raises(InputError, match=r"embed\.word_vectors: .*vectors\.vec is not there"):
        read_word_vectors(tmp_path / "vectors.vec", ["casa"], dimension=2)


LONG = "".join(["1000 2\n", *(f"word{number} {number} 1\n" for number in range(1000))]).encode()


def _overwritten(content: bytes) -> bytes:
    return content[:500] + b"\xff" * 100 + content[600:]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("vectors.vec.gz", gzip.compress(LONG, mtime=0)[:-500], id="cut short gz"),
        pytest.param("vectors.vec.bz2", bz2.compress(LONG)[:-500], id="cut short bz2"),
        pytest.param("vectors.vec.gz", _overwritten(gzip.compress(LONG, mtime=0)), id="overwritten gz"),
        pytest.param("vectors.vec.bz2", _overwritten(bz2.compress(LONG)), id="overwritten bz2"),
        pytest.param("vectors.vec.gz", LONG, id="gz in name only"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, name, content):
    with pytest.raises(InputError, match=r"damaged or cut short .* fetch it again"):
        read(tmp_path / name, content, ["word1", "word999"])
