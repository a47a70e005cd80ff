import pyarrow as pa

from titles.data.encoded_dataset import Vocabulary
from titles.text.encoder import TitleEncoder
from titles.text.vocabulary import hash_ngrams

NUMBERING = TitleEncoder(Vocabulary(["casa"], [1], [3, 4], 50, ["mesa", "silla"]))


def listed(rows):
    return [rows.values[first:last].tolist() for first, last in zip(rows.offsets[:-1], rows.offsets[1:], strict=True)]


def test_words_of_the_vocabulary_have_their_numbers_and_others_those_after_with_their_spelling():
    titles, spelling = NUMBERING.encode(pa.array(["Silla y MESA", "", "mesita y mesa"]))
    assert listed(titles) == [[1, 2, 0], [], [3, 2, 0]]
    assert listed(spelling) == [[], [], *listed(hash_ngrams(["y", "mesita"], [3, 4], 50))]


def test_titles_of_known_words_need_no_spelling():
    titles, spelling = NUMBERING.encode(pa.array(["mesa", "¡!"]))
    assert (listed(titles), listed(spelling)) == ([[0], []], [[], []])


def test_a_title_is_unknown_where_no_word_of_it_tells_anything():
    # An n-gram of three letters takes a word of one, as its ends count.
    titles = pa.array(["mesa", "", "x", None, "電話", "x mesa", "silla x"])
    assert NUMBERING.is_unknown(*NUMBERING.encode(titles)).tolist() == [False, True, False, True, True, False, False]
    without_spelling = TitleEncoder(Vocabulary(["casa"], [1], [], 50, ["mesa", "silla"]))
    found = without_spelling.is_unknown(*without_spelling.encode(titles))
    assert found.tolist() == [False, True, True, True, True, False, False]


def test_no_titles_are_unknown_where_there_are_none():
    assert NUMBERING.is_unknown(*NUMBERING.encode(pa.array([], pa.string()))).tolist() == []


def test_no_titles_have_no_words():
    titles, spelling = NUMBERING.encode(pa.array([], pa.string()))
    assert (listed(titles), listed(spelling)) == ([], [[], []])
