"""Stage train_cnn: train the CNN on data/embedded and write the model folder models/cnn."""

from pathlib import Path

from stages.training import train_network
from titles.nn.hparams import CnnParams, ModelParams, TrainParams
from titles.stage import start
from titles.tracking.run import Run


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
    """Train the CNN. See `train_network` for what is logged."""
    train_network("cnn", embedded, vectors, folder, run, model, cnn, train)


if __name__ == "__main__":
    start(train_cnn)
