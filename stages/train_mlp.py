"""Numbered titles in; the trained MLP, ready for use, out."""

from pathlib import Path

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
    """Logs every epoch and points within long ones, and the network as a model that takes titles."""
    # Imported here, so that a wrong parameter is refused before torch costs its seconds.
    from titles.data.encoded_dataset import LabelledDataset, check_encoded_dataset
    from titles.training.fit import fit

    check_encoded_dataset(embedded, "train", "validation")
    titles = sum(len(LabelledDataset.load(embedded, split)) for split in ("train", "validation"))
    run.log_metrics({"rows_in": titles})
    fit("mlp", embedded, vectors, folder, model, mlp, train, run.log_progress)
    run.log_model("mlp", folder)


if __name__ == "__main__":
    start(train_mlp)
