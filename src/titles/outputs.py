"""Where a stage writes."""

import shutil
from pathlib import Path


def fresh(path: Path) -> Path:
    """An empty folder. What was there may be linked to DVC's cache, so it is removed and not written to."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path
