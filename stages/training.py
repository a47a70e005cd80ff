"""The work that the stages train_mlp and train_cnn share: train one network on the encoded titles."""

from pathlib import Path

from titles.nn.hparams import ModelParams, NetworkParams, TrainParams
from titles.tracking.run import Run


def train_network(
    name: str,
    embedded: Path,
    vectors: Path,
    folder: Path,
    run: Run,
    model: ModelParams,
    network: NetworkParams,
    train: TrainParams,
) -> None:
    """Train the network `name` and write it to `folder`.

    Log the number of titles, the metrics of every epoch, the loss within long epochs, and the model itself.
    Raise InputError if `embedded` was not written by this version of the stage embed.
    """
    # Imported here because torch takes seconds to load: a mistake in params.yaml is reported before that.
    from titles.data.encoded_dataset import LabelledDataset, check_encoded_dataset
    from titles.training.fit import fit

    check_encoded_dataset(embedded, "train", "validation")
    titles = sum(len(LabelledDataset.load(embedded, split)) for split in ("train", "validation"))
    run.log_metrics({"rows_in": titles})
    fit(name, embedded, vectors, folder, model, network, train, run.log_progress)
    run.log_model(name, folder)
