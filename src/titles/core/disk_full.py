"""A full disk, of which every library complains in its own words."""

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
            r"failed to offload data block[^\n]*",  # DuckDB's, which spills no more than there was room for
            r"\d+ requested and \d+ written",  # NumPy's
        ]
    )
)


def disk_full_message(error: BaseException | None) -> str | None:
    """What the error, or one it came from, says of a full disk."""
    while error is not None:
        if found := DISK_FULL_PATTERN.search(str(error)):
            return found[0]
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def disk_full_as_input_error(path: Path) -> Iterator[None]:
    """Raises InputError where there is not enough for what its block writes."""
    try:
        yield
    except Exception as error:
        if not (said := disk_full_message(error)):
            raise
        raise InputError(
            f"the disk of {path} is full ({said}); "
            "make room and start again: a training goes on from its last checkpoint"
        ) from error
