"""The progress bar of long work: live on a terminal, a line every half minute in a log."""

import sys
from typing import Any

from tqdm import tqdm


def progress(total: int, unit: str, what: str) -> "tqdm[Any]":
    """A bar that counts to `total`; gone when done, so that the log keeps only what matters."""
    seconds = 0.2 if sys.stderr.isatty() else 30
    return tqdm(
        total=total,
        unit=unit,
        unit_scale=True,
        desc=what,
        leave=False,
        mininterval=seconds,
        delay=seconds,
        dynamic_ncols=True,
    )
