import re

import numpy as np
import pandas as pd
import pytest

from titles.evaluation import charts

NAMES = ["mlp", "cnn", "mean"]
LABELS = re.compile(r"<text[^>]*>([^<]*)</text>")
BLUE, VERMILION, GREEN = charts.COLOURS


def histories(epochs, **changed):
    metrics = {"train_loss": 2.0, "validation_loss": 1.0, "validation_balanced_accuracy": 0.5} | changed
    rows = [(name, epoch) for name in NAMES[:2] for epoch in range(1, epochs + 1)]
    table = pd.DataFrame(rows, columns=["network", "epoch"])
    return table.assign(is_best=table.epoch == epochs, **metrics)


def strokes(svg, colour):
    """The number of lines of that colour, including those of the legend."""
    return len(re.findall(f'<path[^>]* stroke="{colour}"', svg))


@pytest.mark.parametrize(
    "svg",
    [
        charts.balanced_accuracy_by_epoch(histories(2)),
        charts.loss_by_epoch(histories(2)),
        charts.sorted_recall(pd.DataFrame({"share": [0.5, 1.0], **{name: [0.5, 1.0] for name in NAMES}})),
        charts.reliability_diagram(pd.DataFrame({"confidence": [0.5, 0.9], **{name: [0.5, 1.0] for name in NAMES}})),
    ],
    ids=["balanced accuracy", "loss", "recall", "calibration"],
)
def test_text_has_the_colour_of_the_page_and_no_background(svg):
    assert set(re.findall('<text[^>]* fill="([^"]*)"', svg)) == {"currentColor"}
    assert re.findall('<path class="background"[^>]* fill="[^"]*"', svg) == []
    assert re.findall(' id="', svg) == []


def test_a_ring_is_around_the_best_epoch():
    svg = charts.balanced_accuracy_by_epoch(histories(3))
    # The legend's, the line, the ring.
    assert [strokes(svg, colour) for colour in (BLUE, VERMILION, GREEN)] == [3, 3, 0]


def test_a_single_epoch_is_visible():
    svg = charts.loss_by_epoch(histories(1))
    # The legend's, and a point for each loss.
    assert [len(re.findall(f'<path[^>]* fill="{colour}"', svg)) for colour in (BLUE, VERMILION)] == [3, 3]


def test_the_legend_names_both_losses():
    labels = LABELS.findall(charts.loss_by_epoch(histories(2)))
    assert labels[-4:] == ["mlp", "cnn", "validation", "train"]


def test_values_that_are_not_finite_leave_a_gap():
    infinite = charts.loss_by_epoch(histories(2, train_loss=np.inf))
    assert infinite == charts.loss_by_epoch(histories(2, train_loss=np.nan))
    empty = pd.DataFrame({"confidence": [0.05, 0.95], **{name: [np.nan, 1.0] for name in NAMES}})
    assert charts.reliability_diagram(empty) == charts.reliability_diagram(empty[1:])


def test_equal_tables_give_equal_charts():
    assert charts.loss_by_epoch(histories(2)) == charts.loss_by_epoch(histories(2))
