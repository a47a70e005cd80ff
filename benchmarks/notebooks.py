"""What the notebooks this grew out of found, tested: `python -m benchmarks.notebooks FOLDER`.

Both networks, on all training titles and on a tenth of them, as params.yaml has them and with what the notebooks did
otherwise. Prints a table of the results on test, and draws the learning curves to `--picture`.
"""

import argparse
import tempfile
from pathlib import Path

import pandas as pd
import torch

from benchmarks.contenders import NETWORKS, Changes, joined
from benchmarks.report import draw, markdown, say
from benchmarks.trials import alone, examine, fit, machine, prepare, read, score
from titles.data.batch import Batch
from titles.data.ragged import Ragged
from titles.inference.classifier import Classifier
from titles.nn.networks import Network

SHARES = {"all titles": 1, "a tenth of them": 0.1}
# As far as our parameters say it: words alone, frozen, in one network that is trained for accuracy.
NOTEBOOK: Changes = {
    "embed": {"subword_max_n": 0, "bigrams": 0},
    "model": {"members": 1, "embeddings": "frozen", "dropout": 0.5, "word_dropout": 0.0},
    "train": {
        "objective": "accuracy",
        "drop_suspect_labels": False,
        "label_smoothing": 0.0,
        "learning_rate": 0.001,
        "min_steps": 1,
    },
}
SIGMOID: Changes = {"model": {"activation": "sigmoid"}}
FROZEN: Changes = {"model": {"embeddings": "frozen"}}


SETUPS: dict[str, Changes] = {
    "relu, trained vectors": {},
    "sigmoid, trained vectors": SIGMOID,
    "relu, frozen vectors": FROZEN,
    "sigmoid, frozen vectors": joined(FROZEN, SIGMOID),
    "relu, as the notebooks": NOTEBOOK,
    "sigmoid, as the notebooks": joined(NOTEBOOK, SIGMOID),
    "relu, as the notebooks, but trained vectors": joined(NOTEBOOK, {"model": {"embeddings": "trained"}}),
}


class Forgetful(torch.nn.Module):
    """A network whose dropout stays on in evaluation, the common bug."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def batch(self, titles: Ragged, spelling: Ragged) -> Batch:
        """As the network takes them."""
        return self.network.batch(titles, spelling)

    def features(self, batch: Batch) -> torch.Tensor:
        """What its output layer sees."""
        return self.network.features(batch)

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """What it makes of these."""
        return self.network.logits(features)

    def eval(self) -> "Forgetful":
        """All but dropout."""
        super().eval()
        for module in self.modules():
            if isinstance(module, torch.nn.Dropout):
                module.train()
        return self


def with_dropout_on(folder: Path, work: Path) -> float:
    """The balanced accuracy on the test titles of a network that was not told that training is over."""
    torch.manual_seed(0)
    rows = read(work, "test")
    classifier = Classifier.load(folder)
    (network,) = classifier.networks.values()
    forgetful = Classifier({"forgetful": Forgetful(network)}, classifier.vocabulary, classifier.objective)
    return score(rows.category, forgetful.predict(rows.title.tolist()).category.tolist())


def measure(work: Path, network: str, changes: Changes, seed: int) -> tuple[dict[str, float], pd.DataFrame]:
    """What the network is worth, and its history."""
    with tempfile.TemporaryDirectory() as models:
        cost = alone(fit, network, work, Path(models), {"seed": seed, "changes": changes}, ["train", "validation"])
        tested = alone(examine, network, work, Path(models), "test")
        forgetful = alone(with_dropout_on, Path(models) / network, work)
        history = pd.read_csv(Path(models) / network / "history.csv")
    return {
        "balanced accuracy": tested["balanced_accuracy"],
        "with dropout left on": forgetful,
        "seconds": cost["fit_seconds"],
    }, history


def chart(curves: pd.DataFrame) -> dict[str, object]:
    """Validation by epoch, a panel a network and share, in Vega-Lite."""
    encoding = {
        "x": {"field": "epoch", "type": "quantitative"},
        "y": {"field": "validation_balanced_accuracy", "type": "quantitative", "title": "balanced accuracy"},
        "color": {"field": "set-up", "type": "nominal", "sort": list(SETUPS), "title": None},
        "row": {"field": "network", "type": "nominal", "title": None, "sort": ["MLP", "CNN"]},
        "column": {"field": "titles", "type": "nominal", "title": None},
    }
    return {
        "data": {"values": curves.to_dict("records")},
        "mark": {"type": "line", "point": True},
        "encoding": encoding,
        "width": 340,
        "height": 220,
        "resolve": {"scale": {"x": "independent"}},
        "config": {"legend": {"orient": "bottom", "columns": 3, "labelLimit": 400}},
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.notebooks", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=2019)
    parser.add_argument("--picture", type=Path, default=Path("docs/notebooks.svg"))
    options = parser.parse_args()
    table, curves = [], []
    for titles, share in SHARES.items():
        with tempfile.TemporaryDirectory() as folder:
            prepare(options.folder, Path(folder), share)
            print(machine(Path(folder)), flush=True)
            for network in NETWORKS:
                for setup, changes in SETUPS.items():
                    say(f"{network} of {titles}, {setup}")
                    worth, history = measure(Path(folder), network, changes, options.seed)
                    of_run = {"network": network.upper(), "titles": titles, "set-up": setup}
                    table.append(of_run | worth)
                    curves.append(history.assign(**of_run))
    print(markdown(pd.DataFrame(table), {"seconds": ".0f"}))
    draw(chart(pd.concat(curves)), options.picture)


if __name__ == "__main__":
    main()
