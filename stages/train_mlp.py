"""Numbered titles in; the trained MLP, ready for use, out."""

from pathlib import Path

from titles.hyperparameters import MlpParams, ModelParams, TrainParams
from titles.stage import start
from titles.tracking import Run


def train_mlp(
    embedded: Path,
    vectors: Path,
    folder: Path,
    *,
    run: Run,
    model: ModelParams,
    mlp: MlpParams,
    train: TrainParams,
) -> None:
    """Logs every epoch."""
    # Imported here, so that a wrong parameter is refused before torch costs its seconds.
    from titles.model import fit

    fit("mlp", embedded, vectors, folder, model, mlp, train, run.log_epoch)
    run.log_artifact(folder / "history.csv")


if __name__ == "__main__":
    start(train_mlp)
