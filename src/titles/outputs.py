"""Where a stage writes."""

import shutil
from pathlib import Path


def fresh(path: Path) -> Path:
    """An empty folder in place of what was there: DVC may have linked it to its cache, which must not be written through."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path
