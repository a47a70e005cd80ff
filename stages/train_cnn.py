"""Numbered titles in; the trained CNN, ready for use, out."""

from pathlib import Path

from titles.hyperparameters import CnnParams, ModelParams, TrainParams
from titles.stage import start
from titles.tracking import Run


def train_cnn(
    embedded: Path,
    vectors: Path,
    folder: Path,
    *,
    run: Run,
    model: ModelParams,
    cnn: CnnParams,
    train: TrainParams,
) -> None:
    """Logs every epoch."""
    # Imported here, so that a wrong parameter is refused before torch costs its seconds.
    from titles.model import fit

    fit("cnn", embedded, vectors, folder, model, cnn, train, run.log_epoch)
    run.log_artifact(folder / "history.csv")


if __name__ == "__main__":
    start(train_cnn)
