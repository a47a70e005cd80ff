"""The raw folder in; every usable title once, cleaned and in one split, and every rejected row out."""

from pathlib import Path

from titles import prepared as titles_prepared
from titles.prepared import PrepareParams
from titles.stage import start
from titles.tracking import Run


def prepare(raw: Path, prepared: Path, *, run: Run, prepare: PrepareParams) -> None:
    """Logs how many rows were read, are in each split and were rejected."""
    run.log_metrics(titles_prepared.prepare(raw, prepared, prepare))


if __name__ == "__main__":
    start(prepare)
