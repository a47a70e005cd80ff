"""Two tiny networks, trained within seconds on a small encoded data set."""

from pathlib import Path

from tests.numbered import write_numbered
from titles.nn.hparams import CnnParams, MlpParams, ModelParams, TrainParams
from titles.training.fit import fit

MODEL = ModelParams("relu", "trained", dropout=0.0, word_dropout=0.0, ensemble_size=2)
TRAIN = TrainParams(0, 1, 8, 1, 8, 8, 0.05, 0.0, 0.0, False, "accuracy")
NETWORK_PARAMS = {"cnn": CnnParams(8, 1, 2), "mlp": MlpParams(1, 8, 4)}


def fit_both(root: Path) -> Path:
    """Write the data set to `root` and train both networks on it; return the folder with both model folders."""
    write_numbered(root, train=120, validation=30)
    for name, params in NETWORK_PARAMS.items():
        fit(name, root / "embedded", root / "vectors.npy", root / "models" / name, MODEL, params, TRAIN)
    return root / "models"
