"""A full disk, of which every library complains in its own words."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from titles.core.errors import InputError

COMPLAINTS = re.compile(
    "|".join(
        [
            *map(os.strerror, (errno.ENOSPC, errno.EDQUOT)),
            r"failed to offload data block[^\n]*",  # DuckDB's, which spills no more than there was room for
            r"\d+ requested and \d+ written",  # NumPy's
        ]
    )
)


def complaint(error: BaseException | None) -> str | None:
    """What the error, or one it came from, says of a full disk."""
    while error is not None:
        if found := COMPLAINTS.search(str(error)):
            return found[0]
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def room_at(path: Path) -> Iterator[None]:
    """Raises InputError where there is not enough for what its block writes."""
    try:
        yield
    except Exception as error:
        if not (said := complaint(error)):
            raise
        raise InputError(
            f"the disk of {path} is full ({said}); "
            "make room and start again: a training goes on from its last checkpoint"
        ) from error
