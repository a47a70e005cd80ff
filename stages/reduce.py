"""Stage reduce: draw a stratified sample of the training titles."""

from pathlib import Path

from titles.preprocessing import subsample
from titles.preprocessing.subsample import ReduceParams
from titles.stage import start
from titles.tracking.run import Run


def reduce(prepared: Path, reduced: Path, *, run: Run, reduce: ReduceParams) -> None:
    """Log the number of titles read and written."""
    counts = subsample.reduce(prepared, reduced, reduce)
    run.log_metrics({"rows_in": counts["read"], "rows_out": counts["train"]})


if __name__ == "__main__":
    start(reduce)
