"""Stage train_mlp: train the MLP on data/embedded and write the model folder models/mlp."""

from pathlib import Path

from stages.training import train_network
from titles.nn.hparams import MlpParams, ModelParams, TrainParams
from titles.stage import start
from titles.tracking.run import Run


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
    """Train the MLP. See `train_network` for what is logged."""
    train_network("mlp", embedded, vectors, folder, run, model, mlp, train)


if __name__ == "__main__":
    start(train_mlp)
