"""The findings of the original notebooks, tested again: `python -m benchmarks.notebooks FOLDER`.

Trains both networks on all training titles and on a tenth of them, with the settings of params.yaml and with those of
the notebooks. Prints a table of the results on test, and draws the learning curves to `--picture`.
"""

import argparse
import tempfile
from pathlib import Path

import pandas as pd
import torch

from benchmarks.contenders import NETWORKS, Changes, merge_changes
from benchmarks.report import draw, log_progress, markdown
from benchmarks.trials import describe_run, evaluate_model, fit, prepare, read, run_in_process, score
from titles.data.batch import Batch
from titles.data.ragged import Ragged
from titles.inference.classifier import Classifier
from titles.nn.networks import Network

SHARES = {"all titles": 1, "a tenth of them": 0.1}
# As close as the parameters allow: frozen word vectors without subwords, a single network, the objective accuracy.
NOTEBOOK: Changes = {
    "embed": {"subword_max_n": 0, "bigrams": 0},
    "model": {"ensemble_size": 1, "embeddings": "frozen", "dropout": 0.5, "word_dropout": 0.0},
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
    "sigmoid, frozen vectors": merge_changes(FROZEN, SIGMOID),
    "relu, as the notebooks": NOTEBOOK,
    "sigmoid, as the notebooks": merge_changes(NOTEBOOK, SIGMOID),
    "relu, as the notebooks, but trained vectors": merge_changes(NOTEBOOK, {"model": {"embeddings": "trained"}}),
}


class DropoutAlwaysOn(torch.nn.Module):
    """Network with dropout active in evaluation mode too: the effect of a forgotten `eval()`."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def batch(self, titles: Ragged, subword_ids: Ragged) -> Batch:
        """Make a batch as the network does."""
        return self.network.batch(titles, subword_ids)

    def features(self, batch: Batch) -> torch.Tensor:
        """Return the input of the output layer."""
        return self.network.features(batch)

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Return the logits for these features."""
        return self.network.logits(features)

    def eval(self) -> "DropoutAlwaysOn":
        """Set all modules except dropout to evaluation mode."""
        super().eval()
        for module in self.modules():
            if isinstance(module, torch.nn.Dropout):
                module.train()
        return self


def with_dropout_on(folder: Path, work: Path) -> float:
    """Return the balanced accuracy on test of a network with dropout active."""
    torch.manual_seed(0)
    rows = read(work, "test")
    classifier = Classifier.load(folder)
    (network,) = classifier.networks.values()
    networks = {"dropout on": DropoutAlwaysOn(network)}
    with_dropout = Classifier(networks, classifier.vocabulary, classifier.objective)
    return score(rows.category, with_dropout.predict(rows.title.tolist()).category.tolist())


def measure(work: Path, network: str, changes: Changes, seed: int) -> tuple[dict[str, float], pd.DataFrame]:
    """Train and evaluate a network; return its results and its history by epoch."""
    with tempfile.TemporaryDirectory() as models:
        settings = {"seed": seed, "changes": changes}
        cost = run_in_process(fit, network, work, Path(models), settings, ["train", "validation"])
        result = run_in_process(evaluate_model, network, work, Path(models), "test")
        with_dropout = run_in_process(with_dropout_on, Path(models) / network, work)
        history = pd.read_csv(Path(models) / network / "history.csv")
    return {
        "balanced accuracy": result["balanced_accuracy"],
        "with dropout left on": with_dropout,
        "seconds": cost["fit_seconds"],
    }, history


def chart(curves: pd.DataFrame) -> dict[str, object]:
    """Return a Vega-Lite chart of validation by epoch, with a panel per network and share of the titles."""
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
    parser.add_argument("--picture", type=Path, default=Path("docs/images/notebooks.svg"))
    options = parser.parse_args()
    table, curves = [], []
    for titles, share in SHARES.items():
        with tempfile.TemporaryDirectory() as folder:
            prepare(options.folder, Path(folder), share)
            print(describe_run(Path(folder)), flush=True)
            for network in NETWORKS:
                for setup, changes in SETUPS.items():
                    log_progress(f"{network} of {titles}, {setup}")
                    result, history = measure(Path(folder), network, changes, options.seed)
                    run = {"network": network.upper(), "titles": titles, "set-up": setup}
                    table.append(run | result)
                    curves.append(history.assign(**run))
    print(markdown(pd.DataFrame(table), {"seconds": ".0f"}))
    draw(chart(pd.concat(curves)), options.picture)


if __name__ == "__main__":
    main()
