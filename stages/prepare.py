"""Stage prepare: read the folder `data.raw`, clean, validate, deduplicate and split its titles.

`python -m stages.prepare FOLDER data/prepared`, run by hand, reads another folder.
"""

from pathlib import Path

from titles.io.file_discovery import DataParams
from titles.preprocessing import prepare as preparation
from titles.preprocessing.dedup_split import PrepareParams
from titles.stage import start
from titles.tracking.run import Run


def prepare(raw: Path | None, prepared: Path, *, run: Run, data: DataParams, prepare: PrepareParams) -> None:
    """Log the number of rows read, rejected and written, in total and for each split."""
    splits = preparation.prepare(raw or Path(data.raw), prepared, prepare)
    rows = {"rows_in": splits.pop("read"), "rows_rejected": splits.pop("rejected"), "rows_out": sum(splits.values())}
    run.log_metrics(rows | {f"rows_{split}": count for split, count in splits.items()})


if __name__ == "__main__":
    start(prepare)
