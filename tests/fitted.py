"""Two tiny networks, fitted within seconds to a few numbered titles."""

from pathlib import Path

from tests.numbered import write_numbered
from titles.nn.hparams import CnnParams, MlpParams, ModelParams, TrainParams
from titles.training.fit import fit

MODEL = ModelParams("relu", "trained", dropout=0.0, word_dropout=0.0, ensemble_size=2)
TRAIN = TrainParams(0, 1, 8, 1, 8, 8, 0.05, 0.0, 0.0, False, "accuracy")
OWN = {"cnn": CnnParams(8, 1, 2), "mlp": MlpParams(1, 8, 4)}


def fit_both(root: Path) -> Path:
    """Writes to `root` what they are fitted to; gives the folder with both model folders."""
    write_numbered(root, train=120, validation=30)
    for name, own in OWN.items():
        fit(name, root / "embedded", root / "vectors.npy", root / "models" / name, MODEL, own, TRAIN)
    return root / "models"
