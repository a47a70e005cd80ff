import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from titles.inference.title_array import check_top, title_array

TITLES = ["Mesa", None, "ñandú"]

ARRAYS = [
    pa.array(TITLES),
    pa.array(TITLES, pa.large_string()),
    pa.array(TITLES, pa.string_view()),
    pa.array(TITLES).dictionary_encode(),
    pa.chunked_array([TITLES[:1], TITLES[1:]]),
    pa.chunked_array([pa.array(TITLES[:2]).dictionary_encode(), pa.array(TITLES[2:]).dictionary_encode()]),
    pa.array(["x", *TITLES])[1:],
]


@pytest.mark.parametrize(
    "titles",
    [
        TITLES,
        tuple(TITLES),
        np.array(TITLES, object),
        pd.Series(TITLES),
        pd.Series(TITLES, dtype=object),
        pd.Series(TITLES, dtype="category"),
        pd.Series(TITLES, dtype=pd.ArrowDtype(pa.string())),
        pd.Series(TITLES, index=[3, 1, 1]),
        pd.Index(TITLES),
        pd.array(TITLES, dtype="string"),
        *ARRAYS,
    ],
)
def test_titles_are_any_sequence_of_text(titles):
    found = title_array(titles)
    assert (found.type, found.to_pylist()) == (pa.string(), TITLES)


@pytest.mark.parametrize("missing", [None, float("nan"), np.float32("nan"), np.float64("nan"), pd.NA, pd.NaT])
def test_every_missing_value_becomes_null(missing):
    assert title_array(["a", missing]).to_pylist() == ["a", None]


@pytest.mark.parametrize("titles", [[], (), np.array([]), np.array([], str), pd.Series([], dtype=str), pa.array([])])
def test_empty_sequences_give_an_empty_array(titles):
    assert len(title_array(titles)) == 0


def test_a_lone_surrogate_becomes_a_question_mark():
    assert title_array(["a\ud800", "é"]).to_pylist() == ["a?", "é"]


@pytest.mark.parametrize(
    ("titles", "message"),
    [
        ("mesa", r"titles are a list of texts, not one: \['mesa'\]"),
        (b"mesa", r"titles are a list of texts, not one: \[b'mesa'\]"),
        (
            pd.DataFrame({"title": ["a"]}),
            r"titles are a DataFrame; pass its column of titles, such as table\['title'\]",
        ),
        (pa.table({"title": ["a"]}), "titles are a Table; pass its column"),
        ({"title": "a"}, "titles are of type dict; pass a list, a Series, or an array of text"),
        ({"a", "b"}, "titles are of type set"),
        (iter(["a"]), "titles are of type list_iterator"),
        (None, "titles are of type NoneType"),
        (7, "titles are of type int"),
        (["a", 7], "title 1 is 7, of type int; a title is text, or None"),
        ([1.5], "title 0 is 1.5, of type float"),
        ([b"a"], "title 0 is b'a', of type bytes"),
        ([["a"]], r"title 0 is \['a'\], of type list"),
        (np.array([1, 2]), r"title 0 is .*1.*, of type int64"),
        (pd.Series([1.5]), "title 0 is 1.5"),
        (pa.array([1]), "titles are an Arrow array of int64; pass one of text"),
        (pa.array([b"a"]), "titles are an Arrow array of binary"),
        (pa.array([1]).dictionary_encode(), "titles are an Arrow array of dictionary"),
    ],
)
def test_other_types_are_refused_with_what_to_pass(titles, message):
    with pytest.raises(TypeError, match=message):
        title_array(titles)


@pytest.mark.parametrize("titles", [np.array([["a"]]), np.array("a")])
def test_an_array_of_titles_has_one_dimension(titles):
    with pytest.raises(ValueError, match=r"titles are an array of \d dimensions; pass one of 1 dimension"):
        title_array(titles)


@pytest.mark.parametrize("top", [1, 7, np.int64(3)])
def test_top_is_an_integer_above_zero(top):
    assert check_top(top) == top


@pytest.mark.parametrize("top", [0, -1, np.int64(0)])
def test_top_below_one_is_refused(top):
    with pytest.raises(ValueError, match=f"top is {top}; a title gets 1 category or more"):
        check_top(top)


@pytest.mark.parametrize("top", [True, 1.0, "3", None])
def test_top_that_is_no_integer_is_refused(top):
    with pytest.raises(TypeError, match=f"top is {top!r}, of type {type(top).__name__}; it must be an integer"):
        check_top(top)
