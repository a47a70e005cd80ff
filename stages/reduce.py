"""All training titles in; those of this experiment out."""

from pathlib import Path

from titles.preprocessing import subsample as titles_reduced
from titles.preprocessing.subsample import ReduceParams
from titles.stage import start
from titles.tracking.run import Run


def reduce(prepared: Path, reduced: Path, *, run: Run, reduce: ReduceParams) -> None:
    """Logs how many titles came in and went out; none is rejected, only left out."""
    counts = titles_reduced.reduce(prepared, reduced, reduce)
    run.log_metrics({"rows_in": counts["read"], "rows_out": counts["train"]})


if __name__ == "__main__":
    start(reduce)
