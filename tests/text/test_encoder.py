import pyarrow as pa

from titles.data.encoded_dataset import Vocabulary
from titles.text.encoder import TitleEncoder
from titles.text.vocabulary import hash_ngrams

ENCODER = TitleEncoder(Vocabulary(["casa"], [1], [3, 4], 50, ["mesa", "silla"]))


def as_lists(rows):
    return [rows.values[first:last].tolist() for first, last in zip(rows.offsets[:-1], rows.offsets[1:], strict=True)]


def test_words_outside_the_vocabulary_get_the_next_ids_and_have_subword_ids():
    word_ids, subword_ids = ENCODER.encode(pa.array(["Silla y MESA", "", "mesita y mesa"]))
    assert as_lists(word_ids) == [[1, 2, 0], [], [3, 2, 0]]
    assert as_lists(subword_ids) == [[], [], *as_lists(hash_ngrams(["y", "mesita"], [3, 4], 50))]


def test_words_of_the_vocabulary_have_no_subword_ids():
    word_ids, subword_ids = ENCODER.encode(pa.array(["mesa", "¡!"]))
    assert (as_lists(word_ids), as_lists(subword_ids)) == ([[0], []], [[], []])


def test_a_title_is_unknown_if_none_of_its_words_has_a_vector():
    # A word of one letter has a 3-gram, because the n-grams include the word boundaries.
    titles = pa.array(["mesa", "", "x", None, "電話", "x mesa", "silla x"])
    assert ENCODER.is_unknown(*ENCODER.encode(titles)).tolist() == [False, True, False, True, True, False, False]
    without_subwords = TitleEncoder(Vocabulary(["casa"], [1], [], 50, ["mesa", "silla"]))
    is_unknown = without_subwords.is_unknown(*without_subwords.encode(titles))
    assert is_unknown.tolist() == [False, True, True, True, True, False, False]


def test_is_unknown_of_no_titles_is_empty():
    assert ENCODER.is_unknown(*ENCODER.encode(pa.array([], pa.string()))).tolist() == []


def test_no_titles_have_no_words():
    word_ids, subword_ids = ENCODER.encode(pa.array([], pa.string()))
    assert (as_lists(word_ids), as_lists(subword_ids)) == ([], [[], []])
