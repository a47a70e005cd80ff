from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from titles.text.normalization import MAX_WORDS
from titles.text.vocabulary import hash_ngrams, lookup_word_ids, split_words

WORDS = st.lists(st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=12), max_size=5)
LENGTHS = st.lists(st.integers(2, 8), max_size=4)


def lists(rows):
    return [rows.values[first:last].tolist() for first, last in pairwise(rows.offsets)]


def fnv1a(text):
    value = 2166136261
    for byte in text.encode():
        value = (value ^ byte) * 16777619 % 2**32
    return value


def test_a_title_splits_at_its_spaces_and_an_empty_one_has_no_words():
    assert split_words(pa.array(["casa", "", "mesa de 4"])).to_pylist() == [["casa"], [], ["mesa", "de", "4"]]


def test_no_titles_split_into_no_titles():
    assert split_words(pa.array([], pa.string())).to_pylist() == []


def test_word_ids_are_the_indices_in_the_list_of_words():
    titles = split_words(pa.array(["b a b", "", "c"]))
    assert lists(lookup_word_ids(titles, pa.array(["a", "b", "c"]))) == [[1, 0, 1], [], [2]]


def test_a_slice_of_titles_has_the_word_ids_of_the_slice():
    titles = split_words(pa.array(["b a", "c", "a"])).slice(1)
    assert lists(lookup_word_ids(titles, pa.array(["a", "b", "c"]))) == [[2], [0]]


def test_a_word_that_is_not_in_the_list_is_an_error():
    with pytest.raises(pa.ArrowInvalid):
        lookup_word_ids(split_words(pa.array(["a x"])), pa.array(["a"]))


def test_casa_has_the_hashes_of_its_three_4_grams():
    # fnv1a("<cas"), fnv1a("casa") and fnv1a("asa>") by the published FNV-1a, modulo 1,000,000.
    assert lists(hash_ngrams(["casa"], [4], 1_000_000)) == [[545640, 18301, 905934]]


def test_the_reference_implementation_gives_the_published_hash():
    assert fnv1a("foobar") == 0xBF9CF968


@settings(deadline=None)
@given(WORDS, LENGTHS, st.sampled_from([1, 7, 1000, 2**31 - 1]))
@example(["a", "casa", "ab"], [3, 6], 1000)
def test_subword_ids_are_the_hashes_of_all_ngrams_of_each_word(words, lengths, buckets):
    ngrams = [[f"<{word}>"[at : at + n] for n in lengths for at in range(len(word) + 3 - n)] for word in words]
    assert lists(hash_ngrams(words, lengths, buckets)) == [[fnv1a(ngram) % buckets for ngram in row] for row in ngrams]


@pytest.mark.parametrize(
    ("word", "lengths", "num_ngrams"),
    [("a", [4], 0), ("a", [3], 1), ("ab", [3, 4, 5], 3), ("abc", [6], 0), ("casa", [], 0)],
)
def test_a_word_has_one_subword_id_per_ngram(word, lengths, num_ngrams):
    assert len(lists(hash_ngrams([word], lengths, 100))[0]) == num_ngrams


@pytest.mark.parametrize("lengths", [[], [3, 4]])
def test_no_words_have_no_subword_ids(lengths):
    assert lists(hash_ngrams([], lengths, 100)) == []


def test_a_long_title_is_truncated_to_its_first_words():
    (words,) = split_words(pa.array([" ".join(map(str, range(1000)))])).to_pylist()
    assert words == [str(number) for number in range(MAX_WORDS)]
