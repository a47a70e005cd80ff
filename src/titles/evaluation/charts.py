"""The report's charts: Vega-Lite drawn as SVG, whose text takes its colour from the page around it."""

from typing import Any

import numpy as np
import pandas as pd
import vl_convert

# A phone shows it unscaled.
SIZE = {"width": 350, "height": 260, "autosize": {"type": "fit", "contains": "padding"}}
# By Okabe and Ito: seen on white and on black, and told apart by whoever is blind to a colour.
COLOURS = ["#0072b2", "#d55e00", "#009e73"]
PAGE = "currentColor"
CONFIG = {
    "background": None,
    "font": "sans-serif",
    "range": {"category": COLOURS},
    "axis": {"domainColor": PAGE, "tickColor": PAGE, "gridColor": PAGE, "gridOpacity": 0.15, "tickCount": 5},
    "legend": {"orient": "top", "title": None, "symbolStrokeWidth": 2, "symbolType": "stroke"},
    "style": {"guide-label": {"fill": PAGE, "fontSize": 11}, "guide-title": {"fill": PAGE, "fontWeight": "normal"}},
    "view": {"stroke": None},
}
NETWORK = {"field": "network", "type": "nominal", "sort": None}
LINE = {"mark": "line"}
# A single epoch has no line.
POINTS = {"mark": {"type": "point", "filled": True, "size": 16, "opacity": 1}}
UP_TO_ONE = {"scale": {"domain": [0, 1]}}


def balanced_accuracy_by_epoch(histories: pd.DataFrame) -> str:
    """A line a network, with a ring where its weights are from."""
    y = _axis("validation_balanced_accuracy", "balanced accuracy on validation", scale={"zero": False})
    ring = {"mark": {"type": "point", "size": 100, "opacity": 1}, "transform": [{"filter": "datum.kept"}]}
    known = histories[["network", "epoch", "kept", "validation_balanced_accuracy"]]
    return _drawn(known, _epochs(), y, LINE, POINTS, ring)


def loss_by_epoch(histories: pd.DataFrame) -> str:
    """Two lines a network."""
    losses = {"validation_loss": "validation", "train_loss": "train"}
    table = histories.rename(columns=losses).melt(["network", "epoch"], list(losses.values()), "split", "loss")
    dashes = {"domain": list(losses.values()), "range": [[1, 0], [4, 3]]}
    line = LINE | {"encoding": {"strokeDash": {"field": "split", "type": "nominal", "scale": dashes}}}
    return _drawn(table, _epochs(), _axis("loss", "loss"), line, POINTS)


def recall_curve(table: pd.DataFrame) -> str:
    """A line a network, from the category with the lowest recall to the one with the highest."""
    recalls = table.melt("share", var_name="network", value_name="recall")
    x = _axis("share", "share of the categories", **UP_TO_ONE)
    return _drawn(recalls, x, _axis("recall", "recall", **UP_TO_ONE), LINE)


def calibration(table: pd.DataFrame) -> str:
    """A line a network, and the diagonal that none should be far from."""
    diagonal = {
        "data": {"values": [{"confidence": end, "right": end} for end in (0, 1)]},
        "mark": {"type": "line", "opacity": 0.5, "strokeDash": [4, 3]},
        "encoding": {"color": {"value": PAGE}},
    }
    said = table.melt("confidence", var_name="network", value_name="right")
    x, y = _axis("confidence", "confidence", **UP_TO_ONE), _axis("right", "share that is right", **UP_TO_ONE)
    return _drawn(said, x, y, diagonal, LINE, POINTS)


def _epochs() -> dict[str, Any]:
    return _axis("epoch", "epoch", scale={"zero": False}, axis={"tickMinStep": 1, "format": "d"})


def _axis(field: str, title: str, **more: Any) -> dict[str, Any]:
    return {"field": field, "type": "quantitative", "title": title, **more}


def _drawn(table: pd.DataFrame, x: dict[str, Any], y: dict[str, Any], *layers: dict[str, Any]) -> str:
    """The SVG. JSON knows no NaN, which a bin without titles has, and no infinity, which a loss may be."""
    finite = np.isfinite(table.select_dtypes("number").to_numpy()).all(axis=1)
    spec = {
        "config": CONFIG,
        "data": {"values": table[finite].to_dict("records")},
        "encoding": {"x": x, "y": y, "color": NETWORK},
        "layer": layers,
        **SIZE,
    }
    svg: str = vl_convert.vegalite_to_svg(spec)
    return svg
