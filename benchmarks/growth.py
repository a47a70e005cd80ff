"""What `benchmarks.scale` measured: beside the targets, line by line, and as a picture of how it grows."""

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


class Measured:
    """The lines of docs/scale.jsonl, of those that measure the same the last."""

    def __init__(self, file: Path) -> None:
        lines = pd.read_json(file, lines=True)
        absent = {name: float("nan") for name in ["kind", *COLUMNS, *PROFILE] if name not in lines}
        lines = lines.assign(**absent).fillna({"kind": ""})
        if "phases" in lines:
            lines["spent_on"] = lines.phases.map(_spent, na_action="ignore")
        lines[["name", "size"]] = lines.row.str.rsplit("-", n=1, expand=True)
        lines["rows"] = lines["size"].map(catalogue_rows)
        self.lines = lines.drop_duplicates(["row", "part", "kind"], keep="last")

    def of(self, row: str, part: str, column: str, kind: str = "") -> float:
        """One number; not a number where it was not measured. A row without a size is that of the most rows."""
        lines = self.lines[(self.lines.part == part) & (self.lines.kind == kind)]
        lines = lines[(lines.row == row) | (lines.name == row)].sort_values("rows")
        return float(lines[column].iloc[-1]) if len(lines) else float("nan")

    def targets(self) -> str:
        """What is asked for beside what was measured, as Markdown."""
        rows = []
        for what, target, measured, is_met in self._targets():
            is_there = not measured.startswith("nan")
            met = ("met" if is_met else "**missed**") if is_there else ""
            rows.append([what, target, measured if is_there else "not measured", met])
        return _markdown([["20,000,000 rows, 2 cores", "target", "measured", ""], *rows])

    def _targets(self) -> list[tuple[str, str, str, bool]]:
        text = sum(self.of("data-20m", stage, "seconds") for stage in ("prepare", "reduce"))
        embed = self.of("data-20m", "embed", "seconds")
        of_20m = self.lines[(self.lines["size"] == "20m") & ~self.lines.part.isin(PEERS)]
        memory, pipeline = of_20m.anonymous_mb.max(), sum(self.of("pipeline-20m", part, "seconds") for part in PIPELINE)
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
            ("the whole pipeline", "at most 2 h", f"{pipeline / 3600:.2f} h", pipeline <= 7200),
        ]

    def _rate(self, what: str, row: str, part: str, target: int) -> tuple[str, str, str, bool]:
        rate = self.of(row, part, "titles_per_second")
        return what, f"at least {target:,} titles a second", f"{rate:,.0f}", rate >= target

    def _dense(self, network: str) -> tuple[str, str, str, bool]:
        share = self.of(f"profile-{network}", f"train_{network}", "share_of_alone", "dense layers")
        return f"dense layers of train_{network}", "at least 75 % of their rate alone", f"{share:.0%}", share >= 0.75

    def _against_fasttext(self) -> tuple[str, str, str, bool]:
        rivals = self.lines[(self.lines.name == "fasttext") & self.lines.part.str.startswith("fasttext")]
        rival = rivals.sort_values("balanced_accuracy").tail(1).sum(numeric_only=True)
        rate, accuracy = (self.of("fasttext", "mlp", column) for column in ("titles_per_second", "balanced_accuracy"))
        times = rate / rival.titles_per_second if len(rivals) else float("nan")
        measured = f"{times:.1f} times, {accuracy:.4f} to {rival.balanced_accuracy:.4f}"
        target = "at least 8 times as fast, balanced accuracy no lower"
        return "train_mlp beside fastText", target, measured, times >= 8 and accuracy >= rival.balanced_accuracy

    def all(self) -> str:
        """Every line but those of profiles, as Markdown."""
        return _table(self.lines[self.lines.kind == ""], ["row", "part"], COLUMNS)

    def profiles(self) -> str:
        """What the steps spend their time on, as Markdown."""
        return _table(self.lines[self.lines.kind != ""], ["row", "kind"], PROFILE)

    def growth(self) -> str:
        """Seconds and memory by the rows of the catalogue, as Markdown."""
        lines = self._growing()
        cells = lines.seconds.map("{:,.0f} s, ".format) + lines.anonymous_mb.map("{:,.0f} MB".format)
        table = lines.assign(cell=cells).pivot(index="what", columns="rows", values="cell").fillna("")
        table = table.loc[lines.what.unique()]
        head = ["", *map("{:,} rows".format, table.columns)]
        return _markdown([head, *([what, *row] for what, row in zip(table.index, table.to_numpy(), strict=True))])

    def _growing(self) -> pd.DataFrame:
        """The lines that are there for several numbers of rows, and `what` they measure."""
        lines = self.lines[self.lines.name.isin(GROWING)]
        return lines.assign(
            what=lines.part.where(~lines.name.str.startswith("defaults"), lines.part + ", the defaults")
        )

    def draw(self, picture: Path) -> None:
        """Seconds and memory over the rows of the catalogue, both on logarithmic scales."""
        lines = self._growing()
        measures = {"seconds": lines.seconds, "MB that cannot be dropped": lines.anonymous_mb}
        points = [
            pd.DataFrame({"what": lines.what, "rows": lines.rows, "measure": measure, "value": values})
            for measure, values in measures.items()
        ]
        draw(chart(pd.concat(points).dropna()), picture)


def _spent(phases: dict[str, float]) -> str:
    """What took a second or more, whose bars may go on beside one another."""
    return ", ".join(f"{what} {seconds:,.0f} s" for what, seconds in phases.items() if seconds >= 1)


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
    """A panel a measure, in Vega-Lite."""
    logarithmic = {"type": "log"}
    encoding = {
        "x": {"field": "rows", "type": "quantitative", "scale": logarithmic, "axis": {"format": "~s"}},
        "y": {"field": "value", "type": "quantitative", "scale": logarithmic, "title": None},
        "color": {"field": "what", "type": "nominal", "title": None},
    }
    return {
        "data": {"values": points.to_dict("records")},
        "facet": {"field": "measure", "type": "nominal", "title": None, "sort": "descending"},
        "spec": {"mark": {"type": "line", "point": True}, "encoding": encoding, "width": 360, "height": 260},
        "resolve": {"scale": {"y": "independent"}},
        "config": {"legend": {"orient": "bottom", "labelLimit": 400}},
    }
