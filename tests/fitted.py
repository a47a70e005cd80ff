"""Two tiny networks, trained within seconds on a small encoded data set."""

import shutil
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.numbered import write_numbered
from titles.nn.hparams import CnnParams, MlpParams, ModelParams, TrainParams
from titles.training.fit import fit

MODEL = ModelParams("relu", "trained", dropout=0.0, word_dropout=0.0, ensemble_size=2)
TRAIN = TrainParams(0, 1, 8, 1, 8, 8, 0.05, 0.0, 0.0, False, "accuracy")
NETWORK_PARAMS = {"cnn": CnnParams(8, 1, 2), "mlp": MlpParams(1, 8, 4)}


# Removed when the process of the tests ends.
_cache = TemporaryDirectory(prefix="fitted-")


@cache
def _fit() -> Path:
    """Train both networks, once for all tests of a process."""
    root = Path(_cache.name)
    write_numbered(root, train=120, validation=30)
    for name, params in NETWORK_PARAMS.items():
        fit(name, root / "embedded", root / "vectors.npy", root / "models" / name, MODEL, params, TRAIN)
    return root


def fit_both(root: Path) -> Path:
    """Write the data set and both trained networks to `root`; return the folder with both model folders."""
    shutil.copytree(_fit(), root, dirs_exist_ok=True)
    return root / "models"
