"""Where a stage writes."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from titles.core.errors import InputError

UNFINISHED = ".unfinished"


def recreate_dir(path: Path) -> Path:
    """An empty folder. What was there may be linked to DVC's cache, so it is removed and not written to."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def require_output(path: Path, stage: str) -> Path:
    """`path`, which that stage writes. Raises InputError where it is not there."""
    if not path.exists():
        raise InputError(f"{path} is not there; run the stage {stage} to its end first")
    return path


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """A folder to fill that takes the place of the folder `path` when the block is through.

    A stage that fails or is killed before leaves in `path` what was there.
    """
    # Within the folder, as Git passes over what is in there, and as the next run removes what a killed one left.
    unfinished = recreate_dir(path / UNFINISHED)
    try:
        yield unfinished
    # Ctrl-C as well.
    except BaseException:
        shutil.rmtree(unfinished)
        raise
    beside = path.with_name(f".{path.name}{UNFINISHED}")
    shutil.rmtree(beside, ignore_errors=True)
    unfinished.rename(beside)
    shutil.rmtree(path)
    beside.rename(path)
