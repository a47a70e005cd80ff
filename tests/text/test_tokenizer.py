import sys

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from titles.text.normalization import MAX_WORDS, clean
from titles.text.tokenizer import tokenize
from titles.text.vocabulary import split_words

TEXT = (
    st.text(st.characters(exclude_categories=["Cs"]))
    | st.text("aÉzñ9 -\u0301\u00ad\x00ʼ日😀\n\u200b\uff34")
    | st.just("&ntilde;")
)


def one_by_one(titles: list[str]) -> pa.ListArray:
    return split_words(pa.array([clean(title) for title in titles], pa.string()))


@settings(deadline=None)
@given(st.lists(TEXT, max_size=8))
def test_words_are_those_of_each_title_cleaned_by_itself(titles):
    assert tokenize(pa.array(titles, pa.string())).to_pylist() == one_by_one(titles).to_pylist()


def test_every_code_point_is_cleaned_alike():
    points = [chr(point) for point in range(sys.maxunicode + 1) if not 0xD800 <= point < 0xE000]
    titles = [f"a{point}B" for point in points]
    assert tokenize(pa.array(titles, pa.string())).equals(one_by_one(titles))


def test_a_slice_of_an_array_has_the_words_of_the_slice():
    titles = ["mesa ratona", "sillón", "", "cama 2 plazas"]
    assert tokenize(pa.array(titles)[1:3]).to_pylist() == [["sillon"], []]


@pytest.mark.parametrize("titles", [[], [""], ["", ""], ["¡!"], ["é"], ["é", "é"]])
def test_empty_titles_and_titles_of_one_character_are_tokenized_alike(titles):
    assert tokenize(pa.array(titles, pa.string())).to_pylist() == one_by_one(titles).to_pylist()


def test_a_title_is_truncated_to_the_maximum_number_of_words():
    titles = ["mesa " * (MAX_WORDS + 1), "silla"]
    assert [len(words) for words in tokenize(pa.array(titles)).to_pylist()] == [MAX_WORDS, 1]
