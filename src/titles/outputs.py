"""Where a stage writes."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from titles.errors import InputError

UNFINISHED = ".unfinished"


def fresh(path: Path) -> Path:
    """An empty folder. What was there may be linked to DVC's cache, so it is removed and not written to."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A folder to fill that takes the place of the folder `path` when the block is through.

    A stage that fails or is killed before leaves in `path` what was there. Raises InputError where the disk is full.
    """
    # Within the folder, as Git passes over what is in there, and as the next run removes what a killed one left.
    unfinished = fresh(path / UNFINISHED)
    try:
        yield unfinished
    except Exception as error:
        shutil.rmtree(unfinished)
        # Engines have errors of their own, which share but the words.
        if "No space left on device" in str(error):
            raise InputError(f"{path}: the disk is full; free some space there and start the stage again") from None
        raise
    finished = path.with_name(f".{path.name}.finished")
    shutil.rmtree(finished, ignore_errors=True)
    unfinished.rename(finished)
    shutil.rmtree(path)
    finished.rename(path)
