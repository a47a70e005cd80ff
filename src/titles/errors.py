"""The one error a user can mend: stages print its message without a traceback."""


class InputError(ValueError):
    """Something a user gave is wrong; the message names file, row or key and says what to do."""
