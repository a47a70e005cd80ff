"""Output folders of the stages: atomic replacement, and checks that an earlier stage has run."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from titles.core.errors import InputError

UNFINISHED = ".unfinished"


def recreate_dir(path: Path) -> Path:
    """Create an empty folder. Old files may be links to DVC's cache, so they are removed and never overwritten."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def require_output(path: Path, stage: str) -> Path:
    """Return `path`, an output of `stage`. Raise InputError if it does not exist."""
    if not path.exists():
        raise InputError(f"{path} is not there; run the stage {stage} to its end first")
    return path


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield an empty folder, which replaces the folder `path` when the block ends.

    `path` keeps its old content if the block raises an error or the process is killed.
    """
    # The folder lies inside `path` because Git ignores that, and because the next run then removes leftovers.
    unfinished = recreate_dir(path / UNFINISHED)
    try:
        yield unfinished
    # BaseException includes the KeyboardInterrupt of Ctrl-C.
    except BaseException:
        shutil.rmtree(unfinished)
        raise
    beside = path.with_name(f".{path.name}{UNFINISHED}")
    shutil.rmtree(beside, ignore_errors=True)
    unfinished.rename(beside)
    shutil.rmtree(path)
    beside.rename(path)
