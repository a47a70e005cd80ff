"""Where a stage writes."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from titles.errors import InputError

UNFINISHED = ".unfinished"
# Engines have errors of their own for a full disk, which share but these words of the system's and of DuckDB's.
FULL = ("No space left on device", "max_temp_directory_size")


def fresh(path: Path) -> Path:
    """An empty folder. What was there may be linked to DVC's cache, so it is removed and not written to."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def finished(path: Path, stage: str) -> Path:
    """`path`, which that stage writes. Raises InputError where it is not there."""
    if not path.exists():
        raise InputError(f"{path} is not there; run the stage {stage} to its end first")
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
        if any(words in str(error) for words in FULL):
            raise InputError(f"{path}: the disk is full; free some space there and start the stage again") from None
        raise
    beside = path.with_name(f".{path.name}{UNFINISHED}")
    shutil.rmtree(beside, ignore_errors=True)
    unfinished.rename(beside)
    shutil.rmtree(path)
    beside.rename(path)
