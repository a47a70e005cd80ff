"""Where accuracy levels off: `python -m benchmarks.levels FOLDER`.

Three things are varied: the share of the training titles, with the best peer beside the networks; the numbers of
params.yaml, one at a time; and the number of networks averaged. The numbers of params.yaml are chosen by this, so it
tests them on validation; the others are tested on test. Writes the points to `--table` and draws them to `--picture`.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from benchmarks.contenders import NETWORKS
from benchmarks.report import draw, say
from benchmarks.trials import alone, examine, fit, fit_all, machine, prepare, read, score, splits_seen, trial
from titles.inference.classifier import Classifier

PEER = "words and characters, linear SVM"
SEED = 2019
SHARES = (0.1, 0.25, 0.5, 1)
VARIED: dict[tuple[str, str], list[int]] = {
    ("train", "epochs"): [2, 4, 8, 16],
    ("model", "members"): [1, 2, 4, 8],
    ("embed", "dimension"): [64, 128, 256, 512],
    ("embed", "pairs"): [0, 16_384, 65_536, 262_144],
}
TOGETHER = 8

Point = dict[str, str | float]


def by_share(raw: Path) -> Iterator[Point]:
    """The networks, their mean and the best peer, all on a part of the training titles."""
    for share in SHARES:
        with tempfile.TemporaryDirectory() as folder:
            work, models = Path(folder), Path(folder) / "models"
            prepare(raw, work, share)
            for name in fit_all(work, models, (PEER, *NETWORKS), SEED, splits_seen(share)):
                found = alone(examine, name, work, models, "test")["balanced_accuracy"]
                yield _point("share of the training titles", share, name, "test", found)


def by_parameter(work: Path) -> Iterator[Point]:
    """The MLP with another number in params.yaml, tested on validation."""
    for (section, parameter), values in VARIED.items():
        for value in values:
            settings = {"seed": SEED, "changes": {section: {parameter: value}}}
            found = trial("mlp", work, settings, splits_seen(1), "validation")
            yield _point(f"{section}.{parameter}", value, "mlp", "validation", found["balanced_accuracy"])


def by_networks(work: Path) -> Iterator[Point]:
    """The mean of the probabilities of one network and more, both kinds in turn, each of another seed."""
    rows = read(work, "test")
    with tempfile.TemporaryDirectory() as models:
        for number in range(TOGETHER):
            name = NETWORKS[number % len(NETWORKS)]
            alone(fit, name, work, Path(models), {"seed": SEED + number}, splits_seen(1))
            (Path(models) / name).rename(Path(models) / str(number))
            said = Classifier.load(models).predict(rows.title.tolist()).category
            yield _point("networks averaged", number + 1, "mean", "test", score(rows.category, said))


def _point(varied: str, value: float, model: str, tested: str, balanced_accuracy: float) -> Point:
    say(f"{varied} {value}: {model} {balanced_accuracy:.4f} on {tested}")
    found = {"tested": tested, "balanced_accuracy": round(balanced_accuracy, 6)}
    return {"varied": f"{varied}, on {tested}", "value": value, "model": model} | found


def chart(points: pd.DataFrame) -> dict[str, object]:
    """A panel for each thing varied, in Vega-Lite."""
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
    parser.add_argument("--table", type=Path, default=Path("docs/levels.csv"))
    parser.add_argument("--picture", type=Path, default=Path("docs/levels.svg"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        prepare(options.folder, work, 1)
        print(machine(work), flush=True)
        points = pd.DataFrame([*by_share(options.folder), *by_parameter(work), *by_networks(work)])
    points.to_csv(options.table, index=False)
    draw(chart(points), options.picture)


if __name__ == "__main__":
    main()
