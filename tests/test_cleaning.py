import re
import unicodedata
from collections.abc import Iterator

import ibis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ibis.backends.duckdb import Backend

from titles.cleaning import FOLDED, clean, cleaned

# Any text, but rich in what the table folds, what separates words and what case changes.
TITLES = st.text(st.characters(codec="utf-8") | st.sampled_from(FOLDED + "aZ9 -\t\n"))


@pytest.fixture(scope="module")
def engine() -> Iterator[Backend]:
    engine = ibis.duckdb.connect()
    yield engine
    engine.disconnect()


def cleaned_by(engine: Backend, titles: list[str]) -> list[str]:
    table = ibis.memtable({"place": range(len(titles)), "title": titles}, schema={"place": "int64", "title": "string"})
    rows = table.select("place", cleaned=cleaned(table.title)).order_by("place")
    return engine.to_pyarrow(rows)["cleaned"].to_pylist()


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("", ""),
        (" Teléfono MÓVIL 32GB!", "telefono movil 32gb"),
        ("Camisa de Niño (talle 4)", "camisa de nino talle 4"),
        ("Fogão c/ 5 Bocas - Aço", "fogao c 5 bocas aco"),
        ("Straße Œuvre łódź Ørsted İzmir", "strase ouvre lodz orsted izmir"),
        ("Caño 1ª calidad 20m²", "cano 1a calidad 20m2"),
        ("tele\u0301fono", "telefono"),
        ("micro\u00adondas", "microondas"),
        ("mesa\u00a0redonda\t\r\n roja", "mesa redonda roja"),
        ("usb\u200b2.0", "usb 2 0"),
        ("a\0b", "a b"),
        ("鞋 №5 чехол", "5"),
        ("日本語 ★ 😀", ""),
    ],
)
def test_a_title_becomes_unaccented_lower_case_words(title: str, expected: str):
    assert clean(title) == expected


@given(title=TITLES)
def test_a_clean_title_is_words_of_digits_and_lower_case_letters_with_one_space_between_them(title: str):
    assert re.fullmatch("([0-9a-z]+( [0-9a-z]+)*)?", clean(title))


@given(title=TITLES)
def test_cleaning_twice_changes_nothing_more(title: str):
    assert clean(clean(title)) == clean(title)


@given(title=st.text("abcñéàöç ", max_size=12))
def test_composed_and_decomposed_text_are_cleaned_alike(title: str):
    assert clean(unicodedata.normalize("NFD", title)) == clean(title)


@settings(deadline=None)
@given(titles=st.lists(TITLES, min_size=1))
def test_duckdb_cleans_any_titles_as_python_does(engine: Backend, titles: list[str]):
    assert cleaned_by(engine, titles) == [clean(title) for title in titles]


def test_duckdb_cleans_every_code_point_of_the_basic_plane_as_python_does(engine: Backend):
    letters = [chr(point) for point in range(1, 0x10000) if not 0xD800 <= point <= 0xDFFF]
    titles = [f"{letter}x{letter}Y{letter}" for letter in letters]
    differing = {
        f"U+{ord(letter):04X}": (found, clean(title))
        for letter, title, found in zip(letters, titles, cleaned_by(engine, titles), strict=True)
        if found != clean(title)
    }
    assert differing == {}
