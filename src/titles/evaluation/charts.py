"""The charts of the report: Vega-Lite specifications, rendered as SVG with the text colour of the page."""

from typing import Any

import numpy as np
import pandas as pd
import vl_convert

# Narrow enough for a phone to show it unscaled.
SIZE = {"width": 350, "height": 260, "autosize": {"type": "fit", "contains": "padding"}}
# From the palette of Okabe and Ito: safe for colour blindness, and visible on white and on black.
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
# A line needs two epochs; a point shows a single one.
POINTS = {"mark": {"type": "point", "filled": True, "size": 16, "opacity": 1}}
UNIT_SCALE = {"scale": {"domain": [0, 1]}}


def balanced_accuracy_by_epoch(histories: pd.DataFrame) -> str:
    """A line for each network, with a ring around the best epoch."""
    y = _axis("validation_balanced_accuracy", "balanced accuracy on validation", scale={"zero": False})
    ring = {"mark": {"type": "point", "size": 100, "opacity": 1}, "transform": [{"filter": "datum.is_best"}]}
    table = histories[["network", "epoch", "is_best", "validation_balanced_accuracy"]]
    return _render_svg(table, _epoch_axis(), y, LINE, POINTS, ring)


def loss_by_epoch(histories: pd.DataFrame) -> str:
    """Two lines for each network: validation loss and train loss."""
    losses = {"validation_loss": "validation", "train_loss": "train"}
    table = histories.rename(columns=losses).melt(["network", "epoch"], list(losses.values()), "split", "loss")
    dashes = {"domain": list(losses.values()), "range": [[1, 0], [4, 3]]}
    line = LINE | {"encoding": {"strokeDash": {"field": "split", "type": "nominal", "scale": dashes}}}
    return _render_svg(table, _epoch_axis(), _axis("loss", "loss"), line, POINTS)


def sorted_recall(table: pd.DataFrame) -> str:
    """A line for each network: the recalls of its categories in ascending order."""
    recalls = table.melt("share", var_name="network", value_name="recall")
    x = _axis("share", "share of the categories", **UNIT_SCALE)
    return _render_svg(recalls, x, _axis("recall", "recall", **UNIT_SCALE), LINE)


def reliability_diagram(table: pd.DataFrame) -> str:
    """A line for each network, and the diagonal of perfect calibration."""
    diagonal = {
        "data": {"values": [{"confidence": end, "accuracy": end} for end in (0, 1)]},
        "mark": {"type": "line", "opacity": 0.5, "strokeDash": [4, 3]},
        "encoding": {"color": {"value": PAGE_COLOUR}},
    }
    accuracies = table.melt("confidence", var_name="network", value_name="accuracy")
    x, y = _axis("confidence", "confidence", **UNIT_SCALE), _axis("accuracy", "accuracy", **UNIT_SCALE)
    return _render_svg(accuracies, x, y, diagonal, LINE, POINTS)


def _epoch_axis() -> dict[str, Any]:
    return _axis("epoch", "epoch", scale={"zero": False}, axis={"tickMinStep": 1, "format": "d"})


def _axis(field: str, title: str, **more: Any) -> dict[str, Any]:
    return {"field": field, "type": "quantitative", "title": title, **more}


def _render_svg(table: pd.DataFrame, x: dict[str, Any], y: dict[str, Any], *layers: dict[str, Any]) -> str:
    """Render the layers as SVG, without the rows that JSON cannot represent: NaN (an empty bin) and infinite losses."""
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
