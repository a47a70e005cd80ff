"""The report's charts: Vega-Lite drawn as SVG, whose text takes its colour from the page around it."""

from typing import Any

import numpy as np
import pandas as pd
import vl_convert

# A phone shows it unscaled.
SIZE = {"width": 350, "height": 260, "autosize": {"type": "fit", "contains": "padding"}}
# By Okabe and Ito: seen on white and on black, and told apart by whoever is blind to a colour.
COLOURS = ["#0072b2", "#d55e00", "#009e73"]
PAGE_COLOUR = "currentColor"
CONFIG = {
    "background": None,
    "font": "sans-serif",
    "range": {"category": COLOURS},
    "axis": {
        "domainColor": PAGE_COLOUR,
        "tickColor": PAGE_COLOUR,
        "gridColor": PAGE_COLOUR,
        "gridOpacity": 0.15,
        "tickCount": 5,
    },
    "legend": {"orient": "top", "title": None, "symbolStrokeWidth": 2, "symbolType": "stroke"},
    "style": {
        "guide-label": {"fill": PAGE_COLOUR, "fontSize": 11},
        "guide-title": {"fill": PAGE_COLOUR, "fontWeight": "normal"},
    },
    "view": {"stroke": None},
}
NETWORK_COLOUR = {"field": "network", "type": "nominal", "sort": None}
LINE = {"mark": "line"}
# A single epoch has no line.
POINTS = {"mark": {"type": "point", "filled": True, "size": 16, "opacity": 1}}
UNIT_SCALE = {"scale": {"domain": [0, 1]}}


def balanced_accuracy_by_epoch(histories: pd.DataFrame) -> str:
    """A line a network, with a ring where its weights are from."""
    y = _axis("validation_balanced_accuracy", "balanced accuracy on validation", scale={"zero": False})
    ring = {"mark": {"type": "point", "size": 100, "opacity": 1}, "transform": [{"filter": "datum.kept"}]}
    known = histories[["network", "epoch", "kept", "validation_balanced_accuracy"]]
    return _render_svg(known, _epoch_axis(), y, LINE, POINTS, ring)


def loss_by_epoch(histories: pd.DataFrame) -> str:
    """Two lines a network."""
    losses = {"validation_loss": "validation", "train_loss": "train"}
    table = histories.rename(columns=losses).melt(["network", "epoch"], list(losses.values()), "split", "loss")
    dashes = {"domain": list(losses.values()), "range": [[1, 0], [4, 3]]}
    line = LINE | {"encoding": {"strokeDash": {"field": "split", "type": "nominal", "scale": dashes}}}
    return _render_svg(table, _epoch_axis(), _axis("loss", "loss"), line, POINTS)


def sorted_recall(table: pd.DataFrame) -> str:
    """A line a network, from the category with the lowest recall to the one with the highest."""
    recalls = table.melt("share", var_name="network", value_name="recall")
    x = _axis("share", "share of the categories", **UNIT_SCALE)
    return _render_svg(recalls, x, _axis("recall", "recall", **UNIT_SCALE), LINE)


def reliability_diagram(table: pd.DataFrame) -> str:
    """A line a network, and the diagonal that none should be far from."""
    diagonal = {
        "data": {"values": [{"confidence": end, "right": end} for end in (0, 1)]},
        "mark": {"type": "line", "opacity": 0.5, "strokeDash": [4, 3]},
        "encoding": {"color": {"value": PAGE_COLOUR}},
    }
    said = table.melt("confidence", var_name="network", value_name="right")
    x, y = _axis("confidence", "confidence", **UNIT_SCALE), _axis("right", "share that is right", **UNIT_SCALE)
    return _render_svg(said, x, y, diagonal, LINE, POINTS)


def _epoch_axis() -> dict[str, Any]:
    return _axis("epoch", "epoch", scale={"zero": False}, axis={"tickMinStep": 1, "format": "d"})


def _axis(field: str, title: str, **more: Any) -> dict[str, Any]:
    return {"field": field, "type": "quantitative", "title": title, **more}


def _render_svg(table: pd.DataFrame, x: dict[str, Any], y: dict[str, Any], *layers: dict[str, Any]) -> str:
    """The SVG. JSON knows no NaN, which a bin without titles has, and no infinity, which a loss may be."""
    finite = np.isfinite(table.select_dtypes("number").to_numpy()).all(axis=1)
    spec = {
        "config": CONFIG,
        "data": {"values": table[finite].to_dict("records")},
        "encoding": {"x": x, "y": y, "color": NETWORK_COLOUR},
        "layer": layers,
        **SIZE,
    }
    svg: str = vl_convert.vegalite_to_svg(spec)
    return svg
