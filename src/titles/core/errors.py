"""The one error a user can mend: stages print its message without a traceback."""


class InputError(ValueError):
    """Something a user gave is wrong; the message names file, row or key and says what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(escape_unprintable(message))


def escape_unprintable(text: str) -> str:
    r"""`text` with escapes such as `\x1b` for what a terminal would obey or cannot show; line feeds stay."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter == "\n" else letter.encode("unicode_escape").decode()
        for letter in text
    )
