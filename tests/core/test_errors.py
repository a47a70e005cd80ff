import pytest

from titles.core.errors import InputError, escape_unprintable


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("título, 日本 😀\nsegunda línea", "título, 日本 😀\nsegunda línea"),
        ("\x1b[2J\x07\r\t\x00", r"\x1b[2J\x07\r\t\x00"),
        ("\x9b1m\u200b\u202e\udce9", r"\x9b1m\u200b\u202e\udce9"),
    ],
)
def test_control_characters_are_escaped(text: str, escaped: str):
    assert escape_unprintable(text) == escaped
    assert str(InputError(text)) == escaped
