"""Detect 'no space left on device' in the errors of the libraries used here."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from titles.core.errors import InputError

DISK_FULL_PATTERN = re.compile(
    "|".join(
        [
            *map(os.strerror, (errno.ENOSPC, errno.EDQUOT)),
            r"failed to offload data block[^\n]*",  # DuckDB, when the disk has no space left for its spill files
            r"\d+ requested and \d+ written",  # NumPy
        ]
    )
)


def disk_full_message(error: BaseException | None) -> str | None:
    """Return the text about a full disk in the message of the error or of one of its causes, else None."""
    while error is not None:
        if found := DISK_FULL_PATTERN.search(str(error)):
            return found[0]
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def disk_full_as_input_error(path: Path) -> Iterator[None]:
    """Raise InputError if the disk of `path` is too full for what the block writes."""
    try:
        yield
    except Exception as error:
        if not (message := disk_full_message(error)):
            raise
        raise InputError(
            f"the disk of {path} is full ({message}); "
            "free space and run again: training resumes from its last checkpoint"
        ) from error
