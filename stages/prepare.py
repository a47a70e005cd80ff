"""The folder `data.raw` in; every usable title once, cleaned and in one split, and every rejected row out.

Started by hand, `python -m stages.prepare FOLDER data/prepared` reads another folder.
"""

from pathlib import Path

from titles.io.file_discovery import DataParams
from titles.preprocessing import prepare as titles_prepared
from titles.preprocessing.dedup_split import PrepareParams
from titles.stage import start
from titles.tracking.run import Run


def prepare(raw: Path | None, prepared: Path, *, run: Run, data: DataParams, prepare: PrepareParams) -> None:
    """Logs how many rows came in, were rejected, and went out, in all and into each split."""
    splits = titles_prepared.prepare(raw or Path(data.raw), prepared, prepare)
    rows = {"rows_in": splits.pop("read"), "rows_rejected": splits.pop("rejected"), "rows_out": sum(splits.values())}
    run.log_metrics(rows | {f"rows_{split}": count for split, count in splits.items()})


if __name__ == "__main__":
    start(prepare)
