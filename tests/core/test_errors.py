import pytest

from titles.core.errors import InputError, escape_unprintable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("título, 日本 😀\nsegunda línea", "título, 日本 😀\nsegunda línea"),
        ("\x1b[2J\x07\r\t\x00", r"\x1b[2J\x07\r\t\x00"),
        ("\x9b1m\u200b\u202e\udce9", r"\x9b1m\u200b\u202e\udce9"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text: str, shown: str):
    assert escape_unprintable(text) == shown
    assert str(InputError(text)) == shown
