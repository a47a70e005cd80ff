"""Learning curves and hyperparameter curves: `python -m benchmarks.levels FOLDER`.

Three quantities are varied: the share of the training titles, for the networks and the best peer; single
hyperparameters of params.yaml; and the number of networks that are averaged. Hyperparameters are evaluated on
validation, as these curves serve to choose them. The other curves are evaluated on test. The points go to `--table`,
the chart to `--picture`.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from benchmarks.contenders import NETWORKS
from benchmarks.report import draw, log_progress
from benchmarks.trials import (
    describe_run,
    evaluate_model,
    fit,
    fit_all,
    prepare,
    read,
    run_in_process,
    score,
    training_splits,
    trial,
)
from titles.inference.classifier import Classifier

PEER = "words and characters, linear SVM"
SEED = 2019
SHARES = (0.1, 0.25, 0.5, 1)
HYPERPARAMETERS: dict[tuple[str, str], list[int]] = {
    ("train", "epochs"): [2, 4, 8, 16],
    ("model", "ensemble_size"): [1, 2, 4, 8],
    ("embed", "dimension"): [64, 128, 256, 512],
    ("embed", "bigrams"): [0, 16_384, 65_536, 262_144],
}
MAX_AVERAGED = 8

Point = dict[str, str | float]


def by_share(raw: Path) -> Iterator[Point]:
    """Yield points of the networks, their mean and the best peer, fitted on a share of the training titles."""
    for share in SHARES:
        with tempfile.TemporaryDirectory() as folder:
            work, models = Path(folder), Path(folder) / "models"
            prepare(raw, work, share)
            for name in fit_all(work, models, (PEER, *NETWORKS), SEED, training_splits(share)):
                accuracy = run_in_process(evaluate_model, name, work, models, "test")["balanced_accuracy"]
                yield _point("share of the training titles", share, name, "test", accuracy)


def by_parameter(work: Path) -> Iterator[Point]:
    """Yield points of the MLP with another value of one hyperparameter, evaluated on validation."""
    for (section, parameter), values in HYPERPARAMETERS.items():
        for value in values:
            settings = {"seed": SEED, "changes": {section: {parameter: value}}}
            result = trial("mlp", work, settings, training_splits(1), "validation")
            yield _point(f"{section}.{parameter}", value, "mlp", "validation", result["balanced_accuracy"])


def by_networks(work: Path) -> Iterator[Point]:
    """Yield points of the mean of 1 to `MAX_AVERAGED` networks: MLP and CNN in turn, each with another seed."""
    rows = read(work, "test")
    with tempfile.TemporaryDirectory() as models:
        for index in range(MAX_AVERAGED):
            name = NETWORKS[index % len(NETWORKS)]
            run_in_process(fit, name, work, Path(models), {"seed": SEED + index}, training_splits(1))
            (Path(models) / name).rename(Path(models) / str(index))
            predicted = Classifier.load(models).predict(rows.title.tolist()).category
            yield _point("networks averaged", index + 1, "mean", "test", score(rows.category, predicted))


def _point(varied: str, value: float, model: str, tested: str, balanced_accuracy: float) -> Point:
    log_progress(f"{varied} {value}: {model} {balanced_accuracy:.4f} on {tested}")
    result = {"tested": tested, "balanced_accuracy": round(balanced_accuracy, 6)}
    return {"varied": f"{varied}, on {tested}", "value": value, "model": model} | result


def chart(points: pd.DataFrame) -> dict[str, object]:
    """Return a Vega-Lite chart with a panel per varied quantity."""
    y = {"field": "balanced_accuracy", "type": "quantitative", "title": None, "scale": {"zero": False}}
    panel = {
        "mark": {"type": "line", "point": True},
        "encoding": {
            "x": {"field": "value", "type": "ordinal", "title": None, "axis": {"labelAngle": 0}},
            "y": y,
            "color": {"field": "model", "type": "nominal", "title": None},
        },
        "width": 260,
        "height": 180,
    }
    return {
        "data": {"values": points.to_dict("records")},
        "facet": {"field": "varied", "type": "nominal", "title": None, "sort": points.varied.unique().tolist()},
        "columns": 3,
        "spec": panel,
        "resolve": {"scale": {"x": "independent", "y": "independent"}},
        "config": {"legend": {"orient": "bottom", "labelLimit": 400}},
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.levels", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--table", type=Path, default=Path("docs/data/levels.csv"))
    parser.add_argument("--picture", type=Path, default=Path("docs/images/levels.svg"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        prepare(options.folder, work, 1)
        print(describe_run(work), flush=True)
        points = pd.DataFrame([*by_share(options.folder), *by_parameter(work), *by_networks(work)])
    points.to_csv(options.table, index=False)
    draw(chart(points), options.picture)


if __name__ == "__main__":
    main()
