import re
import unicodedata
from collections.abc import Iterator

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ibis.backends.duckdb import Backend

from titles.text.html_entities import unescape_titles
from titles.text.normalization import TRANSLATE_FROM, clean, clean_expression, unescape

# Any text, with many characters that are translated, separate words, have upper case or are escaped in HTML.
LETTERS = st.text(st.characters(codec="utf-8") | st.sampled_from(TRANSLATE_FROM + "aZ9 -\t\n&#;"))
REFERENCES = st.sampled_from(["&eacute;", "&NTILDE;", "&amp;amp;#233;", "&#xE9;", "&#0;", "&#xD800;", "&#38;#50;", "&"])
TITLES = st.lists(LETTERS | REFERENCES, max_size=4).map("".join)


@pytest.fixture(scope="module")
def engine() -> Iterator[Backend]:
    engine = ibis.duckdb.connect()
    yield engine
    engine.disconnect()


def clean_with(engine: Backend, titles: list[str]) -> list[str]:
    unescaped = unescape_titles(pa.array(titles, pa.string())).to_pylist()
    table = ibis.memtable({"row": range(len(titles)), "title": unescaped}, schema={"row": "int64", "title": "string"})
    rows = table.select("row", cleaned=clean_expression(table.title)).order_by("row")
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
        ("tele\u200bfo\ufeffno\u2060 \u202amo\u200dvil\u202c", "telefono movil"),
        ("e\u0304 a\u0328 z\u030c", "e a z"),
        ("\uff34\uff36 \uff13\uff12\uff30\uff2f\uff2c\uff27\uff01\u3000\uff4c\uff45\uff44", "tv 32polg led"),
        ("Tel&eacute;fono", "telefono"),
        ("TEL&EACUTE;FONO M&Oacute;VIL", "telefono movil"),
        ("Tel&amp;amp;eacute;fono", "telefono"),
        ("Ni&#241;o ni&#xF1;o&nbsp;y&#160;ni&#XF1;a", "nino nino y nina"),
        ("micro&shy;ondas &#8203;usb", "microondas usb"),
        ("Black &amp; Decker &quot;9&quot;", "black decker 9"),
        ("rock&reggae AT&T; a&ntilde b&unknown;", "rock reggae at t a ntilde b unknown"),
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
def test_cleaning_is_idempotent(title: str):
    assert clean(clean(title)) == clean(title)


@pytest.mark.parametrize(
    ("title", "unescaped"),
    [
        ("5 &lt; 6 &amp;lt; 7", "5 < 6 < 7"),
        ("&#0; &#x110000; &#xDFFF;", "\ufffd \ufffd \ufffd"),
        ("&amp; &amp;amp; &; &amp", "& & &; &amp"),
        ("&" * 100_000 + "amp;" * 100_000, "&" * 100_000),
    ],
    ids=["once and twice", "no character", "ampersands", "many ampersands"],
)
def test_character_references_become_their_characters(title: str, unescaped: str):
    assert unescape(title) == unescaped


@given(title=st.text([*TRANSLATE_FROM[:300], *"abc "], max_size=12))
def test_composed_and_decomposed_text_are_cleaned_alike(title: str):
    assert clean(unicodedata.normalize("NFD", title)) == clean(title)


@settings(deadline=None)
@given(titles=st.lists(TITLES, min_size=1))
def test_duckdb_cleans_any_titles_as_python_does(engine: Backend, titles: list[str]):
    assert clean_with(engine, titles) == [clean(title) for title in titles]


def test_duckdb_cleans_every_code_point_of_the_basic_plane_as_python_does(engine: Backend):
    letters = [chr(point) for point in range(1, 0x10000) if not 0xD800 <= point <= 0xDFFF]
    titles = [f"{letter}x{letter}Y{letter}" for letter in letters]
    differing = {
        f"U+{ord(letter):04X}": (found, clean(title))
        for letter, title, found in zip(letters, titles, clean_with(engine, titles), strict=True)
        if found != clean(title)
    }
    assert differing == {}
