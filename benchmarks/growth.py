"""Results of `benchmarks.scale`: compared with the targets, as tables, and as a chart by catalogue size."""

from pathlib import Path

import pandas as pd

from benchmarks.contenders import PEERS
from benchmarks.report import draw
from benchmarks.rows import PIPELINE
from benchmarks.workspace import catalogue_rows

GROWING = ("data", "mlp", "cnn", "defaults-mlp", "defaults-cnn")
COLUMNS = {
    "titles": ",.0f",
    "seconds": ",.1f",
    "titles_per_second": ",.0f",
    "share_of_peak": ".0%",
    "anonymous_mb": ",.0f",
    "balanced_accuracy": ".4f",
    "checkpoint_share": ".2%",
    "without_checkpoint_seconds": ",.0f",
    "spent_on": "",
}
PROFILE = {
    "milliseconds": ".2f",
    "share": ".1%",
    "gflops": ",.1f",
    "gflops_alone": ",.1f",
    "share_of_alone": ".1%",
    "share_of_peak": ".1%",
    "gigabytes_per_second": ",.1f",
}


class Results:
    """The lines of docs/data/scale.jsonl; of several lines for the same measurement only the last."""

    def __init__(self, file: Path) -> None:
        lines = pd.read_json(file, lines=True)
        absent = {name: float("nan") for name in ["kind", *COLUMNS, *PROFILE] if name not in lines}
        lines = lines.assign(**absent).fillna({"kind": ""})
        if "phases" in lines:
            lines["spent_on"] = lines.phases.map(_format_phases, na_action="ignore")
        lines[["name", "size"]] = lines.row.str.rsplit("-", n=1, expand=True)
        lines["rows"] = lines["size"].map(catalogue_rows)
        self.lines = lines.drop_duplicates(["row", "part", "kind"], keep="last")

    def value(self, row: str, measurement: str, column: str, kind: str = "") -> float:
        """Return a measured value, or NaN if there is none; a row without a size means its largest catalogue."""
        lines = self.lines[(self.lines.part == measurement) & (self.lines.kind == kind)]
        lines = lines[(lines.row == row) | (lines.name == row)].sort_values("rows")
        return float(lines[column].iloc[-1]) if len(lines) else float("nan")

    def targets(self) -> str:
        """Return the targets and the measured values as Markdown."""
        rows = []
        for name, target, measured, is_met in self._targets():
            is_measured = not measured.startswith("nan")
            verdict = ("met" if is_met else "**missed**") if is_measured else ""
            rows.append([name, target, measured if is_measured else "not measured", verdict])
        return _markdown([["20,000,000 rows, 2 cores", "target", "measured", ""], *rows])

    def _targets(self) -> list[tuple[str, str, str, bool]]:
        text = sum(self.value("data-20m", stage, "seconds") for stage in ("prepare", "reduce"))
        embed = self.value("data-20m", "embed", "seconds")
        is_ours = (self.lines["size"] == "20m") & ~self.lines.part.isin(PEERS)
        memory = self.lines[is_ours].anonymous_mb.max()
        pipeline = sum(self.value("pipeline-20m", name, "seconds") for name in PIPELINE)
        return [
            ("prepare + reduce", "at most 4 min", f"{text / 60:.1f} min", text <= 240),
            ("embed", "at most 4 min", f"{embed / 60:.1f} min", embed <= 240),
            self._rate("train_mlp", "mlp-20m", "train_mlp", 45_000),
            self._against_fasttext(),
            self._rate("train_cnn", "cnn-20m", "train_cnn", 8_000),
            self._dense("mlp"),
            self._dense("cnn"),
            self._rate("evaluate, MLP", "evaluate-20m", "evaluate_mlp", 100_000),
            self._rate("evaluate, CNN", "evaluate-20m", "evaluate_cnn", 25_000),
            self._rate("titles predict, MLP", "predict-20m", "titles predict, mlp", 100_000),
            ("memory of any stage", "at most 2,500 MB", f"{memory:,.0f} MB", memory <= 2500),
            ("the complete pipeline", "at most 2 h", f"{pipeline / 3600:.2f} h", pipeline <= 7200),
        ]

    def _rate(self, name: str, row: str, measurement: str, target: int) -> tuple[str, str, str, bool]:
        rate = self.value(row, measurement, "titles_per_second")
        return name, f"at least {target:,} titles a second", f"{rate:,.0f}", rate >= target

    def _dense(self, network: str) -> tuple[str, str, str, bool]:
        share = self.value(f"profile-{network}", f"train_{network}", "share_of_alone", "dense layers")
        return (
            f"dense layers of train_{network}",
            "at least 75 % of their rate outside of training",
            f"{share:.0%}",
            share >= 0.75,
        )

    def _against_fasttext(self) -> tuple[str, str, str, bool]:
        candidates = self.lines[(self.lines.name == "fasttext") & self.lines.part.str.startswith("fasttext")]
        best = candidates.sort_values("balanced_accuracy").tail(1).sum(numeric_only=True)
        rate, accuracy = (self.value("fasttext", "mlp", key) for key in ("titles_per_second", "balanced_accuracy"))
        ratio = rate / best.titles_per_second if len(candidates) else float("nan")
        measured = f"{ratio:.1f} times, {accuracy:.4f} to {best.balanced_accuracy:.4f}"
        target = "at least 8 times as fast, balanced accuracy no lower"
        return "train_mlp compared with fastText", target, measured, ratio >= 8 and accuracy >= best.balanced_accuracy

    def all(self) -> str:
        """Return every line except those of profiles, as Markdown."""
        return _table(self.lines[self.lines.kind == ""], ["row", "part"], COLUMNS)

    def profiles(self) -> str:
        """Return the lines of profiles, as Markdown."""
        return _table(self.lines[self.lines.kind != ""], ["row", "kind"], PROFILE)

    def growth(self) -> str:
        """Return seconds and memory by the number of catalogue rows, as Markdown."""
        lines = self._growing()
        cells = lines.seconds.map("{:,.0f} s, ".format) + lines.anonymous_mb.map("{:,.0f} MB".format)
        table = lines.assign(cell=cells).pivot(index="measurement", columns="rows", values="cell").fillna("")
        table = table.loc[lines.measurement.unique()]
        head = ["", *map("{:,} rows".format, table.columns)]
        return _markdown([head, *([name, *row] for name, row in zip(table.index, table.to_numpy(), strict=True))])

    def _growing(self) -> pd.DataFrame:
        """Return the lines that exist for several catalogue sizes, with a label in the column `measurement`."""
        lines = self.lines[self.lines.name.isin(GROWING)]
        labels = lines.part.where(~lines.name.str.startswith("defaults"), lines.part + ", the defaults")
        return lines.assign(measurement=labels)

    def draw(self, picture: Path) -> None:
        """Draw seconds and memory by the number of catalogue rows, both on logarithmic scales."""
        lines = self._growing()
        quantities = {"seconds": lines.seconds, "MB that cannot be dropped": lines.anonymous_mb}
        points = [
            pd.DataFrame({"measurement": lines.measurement, "rows": lines.rows, "quantity": quantity, "value": values})
            for quantity, values in quantities.items()
        ]
        draw(chart(pd.concat(points).dropna()), picture)


def _format_phases(phases: dict[str, float]) -> str:
    """Format the phases that took a second or more; progress bars of several phases may overlap."""
    return ", ".join(f"{phase} {seconds:,.0f} s" for phase, seconds in phases.items() if seconds >= 1)


def _table(lines: pd.DataFrame, names: list[str], formats: dict[str, str]) -> str:
    shown = [column for column in formats if lines[column].notna().any()]
    rows = [
        [*line[names], *(_cell(line[column], formats[column]) for column in shown), line.commit]
        for _, line in lines.iterrows()
    ]
    head = [*names, *(column.replace("_", " ") for column in shown), "commit"]
    return _markdown([head, *rows])


def _markdown(rows: list[list[str]]) -> str:
    head, *others = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *others])


def _cell(value: float, number: str) -> str:
    return "" if pd.isna(value) else format(value, number)


def chart(points: pd.DataFrame) -> dict[str, object]:
    """Return a Vega-Lite chart with a panel per quantity."""
    logarithmic = {"type": "log"}
    encoding = {
        "x": {"field": "rows", "type": "quantitative", "scale": logarithmic, "axis": {"format": "~s"}},
        "y": {"field": "value", "type": "quantitative", "scale": logarithmic, "title": None},
        "color": {"field": "measurement", "type": "nominal", "title": None},
    }
    return {
        "data": {"values": points.to_dict("records")},
        "facet": {"field": "quantity", "type": "nominal", "title": None, "sort": "descending"},
        "spec": {"mark": {"type": "line", "point": True}, "encoding": encoding, "width": 360, "height": 260},
        "resolve": {"scale": {"y": "independent"}},
        "config": {"legend": {"orient": "bottom", "labelLimit": 400}},
    }
