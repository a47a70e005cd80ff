"""InputError, the error that a user can fix: stages and commands print its message without a traceback."""


class InputError(ValueError):
    """Invalid input from the user. The message names the file, row or key and says what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(escape_unprintable(message))


def escape_unprintable(text: str) -> str:
    r"""Replace unprintable and control characters in `text` by escapes such as `\x1b`; line feeds stay."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character == "\n" else character.encode("unicode_escape").decode()
        for character in text
    )
