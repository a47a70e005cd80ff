"""All training titles in; those of this experiment out."""

from pathlib import Path

from titles import reduced as titles_reduced
from titles.reduced import ReduceParams
from titles.stage import start
from titles.tracking import Run


def reduce(prepared: Path, reduced: Path, *, run: Run, reduce: ReduceParams) -> None:
    """Logs how many titles were read and kept."""
    run.log_metrics(titles_reduced.reduce(prepared, reduced, reduce))


if __name__ == "__main__":
    start(reduce)
