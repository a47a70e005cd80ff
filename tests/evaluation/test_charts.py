import re

import numpy as np
import pandas as pd
import pytest

from titles.evaluation import charts

NAMES = ["mlp", "cnn", "mean"]
LABELS = re.compile(r"<text[^>]*>([^<]*)</text>")
BLUE, VERMILION, GREEN = charts.COLOURS


def histories(epochs, **changed):
    known = {"train_loss": 2.0, "validation_loss": 1.0, "validation_balanced_accuracy": 0.5} | changed
    rows = [(name, epoch) for name in NAMES[:2] for epoch in range(1, epochs + 1)]
    table = pd.DataFrame(rows, columns=["network", "epoch"])
    return table.assign(kept=table.epoch == epochs, **known)


def strokes(svg, colour):
    """How many lines are drawn in that colour, those of the legend among them."""
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
def test_text_has_the_colour_of_the_page_and_nothing_lies_behind_it(svg):
    assert set(re.findall('<text[^>]* fill="([^"]*)"', svg)) == {"currentColor"}
    assert re.findall('<path class="background"[^>]* fill="[^"]*"', svg) == []
    assert re.findall(' id="', svg) == []


def test_a_ring_is_around_the_epoch_that_was_kept():
    svg = charts.balanced_accuracy_by_epoch(histories(3))
    # The legend's, the line, the ring.
    assert [strokes(svg, colour) for colour in (BLUE, VERMILION, GREEN)] == [3, 3, 0]


def test_a_single_epoch_is_seen():
    svg = charts.loss_by_epoch(histories(1))
    # The legend's, and a point for each loss.
    assert [len(re.findall(f'<path[^>]* fill="{colour}"', svg)) for colour in (BLUE, VERMILION)] == [3, 3]


def test_both_losses_of_a_network_are_told_apart():
    labels = LABELS.findall(charts.loss_by_epoch(histories(2)))
    assert labels[-4:] == ["mlp", "cnn", "validation", "train"]


def test_what_is_no_number_leaves_a_gap():
    broken = charts.loss_by_epoch(histories(2, train_loss=np.inf))
    assert broken == charts.loss_by_epoch(histories(2, train_loss=np.nan))
    empty = pd.DataFrame({"confidence": [0.05, 0.95], **{name: [np.nan, 1.0] for name in NAMES}})
    assert charts.reliability_diagram(empty) == charts.reliability_diagram(empty[1:])


def test_equal_tables_are_equal_charts():
    assert charts.loss_by_epoch(histories(2)) == charts.loss_by_epoch(histories(2))
