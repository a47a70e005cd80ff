from pathlib import Path

import pandas as pd
import pytest

from tests.evaluation.small_report import NAMES, report, written
from tests.evaluation.workspace import HEADLINE
from tests.serving.page import Page
from titles.evaluation.report import (
    MAX_TEXT_LENGTH,
    sanitize_text,
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return Page(written(report(), tmp_path_factory.mktemp("results")))


def test_the_sections_are_in_the_order_of_reading(page: Page):
    assert page.sections == [
        "What was run",
        "Headline figures",
        "Learning curves",
        "Recall by category",
        "Most confused pairs",
        "Accuracy by group",
        "Calibration and confidence",
        "Rejected rows",
    ]


def test_every_split_has_its_rows_and_the_categories_that_train_lacks(page: Page):
    assert page.tables["Rows and categories of each split"][1:] == [
        ["train", "1,500", "75.0 %", "2", "0"],
        ["validation", "100", "5.0 %", "2", "0"],
        ["test", "300", "15.0 %", "3", "1"],
        ["rejected", "100", "5.0 %", "", ""],
    ]
    assert "The networks were trained on 150 of the train titles (10.0 %)" in " ".join(page.text.split())


def test_balanced_accuracy_is_the_first_headline_figure(page: Page):
    header, first, *others = page.tables[HEADLINE]
    assert header == ["Metric", *NAMES]
    assert (first[0].startswith("Balanced accuracy"), first[1:]) == (True, ["0.2500"] * 3)
    assert len(others) == 6


def test_every_category_has_its_recalls_and_its_training_titles(page: Page):
    assert page.tables["Recall of every test category"] == [
        ["Category", "Training titles", "Test titles", *NAMES],
        ["HOME", "1,234", "200", "0.5000", "0.2500", "0.0000"],
        ["SHOES", "7", "100", "1.0000", "1.0000", "1.0000"],
    ]


def test_a_confused_pair_has_examples(page: Page):
    (_, pair) = page.tables["Most frequent mistakes of the mean, with the most confident examples"]
    assert pair == ["HOME→ SHOES", "1", "0.5 %", "0.88 zapato"]


def test_every_group_has_its_titles_and_both_accuracies(page: Page):
    by_size = page.tables["By category size: the training titles of the category"]
    assert by_size[:2] == [
        ["Training titles", "Test titles", "Categories", "Balanced accuracy", "Accuracy"],
        NAMES * 2,
    ]
    assert by_size[2:] == [["0", "10", "2", *["0.5000"] * 6], ["1–9", "290", "2", *["0.5000"] * 6]]
    assert [row[0] for row in page.tables["By language"][2:]] == ["spanish"]


def test_the_table_of_accuracy_by_coverage_has_accuracies_and_confidences(page: Page):
    table = page.tables["Accuracy by coverage"]
    assert table[2:] == [["50.0 %", *["1.0000"] * 6], ["100.0 %", *["0.2500"] * 6]]


def test_a_threshold_has_its_validation_titles_and_its_test_accuracy(page: Page):
    table = page.tables["Score thresholds for a required accuracy"]
    assert table[1:] == [["mean", "0.9", "0.2500", "95", "98.0 %", "90.0 %", "97.0 %"]]


def test_the_page_explains_that_there_is_no_threshold(tmp_path: Path):
    shown = report()
    assert "Too few validation titles are predicted correctly" in written(
        report(thresholds=shown.thresholds[:0]), tmp_path
    )


def test_a_reason_has_its_rows_and_their_file_and_line(page: Page):
    assert page.tables["Rejected rows by reason, with the first rows of each"][1:] == [
        ["empty title", "2", "0.1 %", "train.csv, line 1234:"],
        ["duplicate title", "1", "0.1 %", "a.csv, line 3: zapato"],
    ]


@pytest.mark.parametrize(
    "title",
    [
        "<script>alert('x')</script><img src=//x>",
        "</td></table> &amp; &lt;",
        '"14\' pulgadas" `{{ 7 * 7 }}` ${x} \\',
        "👩‍👩‍👧 ñandú ﷽ 漢字 e\u0301",
        "\u202eabc\u2066 \u200b",
        "\U0010ffff\ue000\ufeff",
    ],
)
def test_a_title_is_shown_verbatim(page: Page, tmp_path: Path, title: str):
    pd.DataFrame({"title": [title]}).to_parquet(tmp_path / "titles.parquet")
    (stored,) = pd.read_parquet(tmp_path / "titles.parquet").title
    shown = Page(written(report(title=stored), tmp_path))
    assert shown.tables["Rejected rows by reason, with the first rows of each"][2][3] == f"a.csv, line 3: {title}"
    assert shown.elements == page.elements


def test_control_characters_are_replaced_and_long_text_is_truncated():
    assert sanitize_text("a\x00b\x1b\x85\tc\n") == "a\ufffdb\ufffd\ufffd\tc\n"
    assert sanitize_text("x" * MAX_TEXT_LENGTH) == "x" * MAX_TEXT_LENGTH
    assert sanitize_text("x" * 10**6) == "x" * MAX_TEXT_LENGTH + "…"


def test_the_page_loads_nothing_and_runs_nothing_but_its_own(tmp_path: Path):
    text = written(report(), tmp_path)
    page = Page(text)
    assert all("src" not in attributes for _, attributes in page.elements)
    assert all(attributes.get("href", "#").startswith("#") for _, attributes in page.elements)
    assert not {"link", "img", "iframe", "object", "base", "form"} & {tag for tag, _ in page.elements}
    assert [call for call in ("url(", "@import", "fetch(", "import(") if call in text] == []
    policy = {"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"}
    assert policy == {attributes["content"] for _, attributes in page.elements if "http-equiv" in attributes}


def test_every_header_cell_has_a_scope(page: Page):
    headers = [attributes for tag, attributes in page.elements if tag == "th"]
    assert {attributes["scope"] for attributes in headers} == {"col", "colgroup", "row"}
    assert [tag for tag, _ in page.elements].count("table") == len(page.tables) == 11


def test_equal_reports_give_equal_bytes(tmp_path: Path):
    assert written(report(), tmp_path) == written(report(), tmp_path)


def test_a_linked_page_is_replaced_and_not_written_to(tmp_path: Path):
    (tmp_path / "cache").write_text("before")
    (tmp_path / "report.html").hardlink_to(tmp_path / "cache")
    report().write(tmp_path / "report.html")
    assert (tmp_path / "cache").read_text() == "before"


def test_the_page_explains_that_there_are_no_mistakes_and_no_rejected_rows(tmp_path: Path):
    empty = {"confused_pairs": report().confused_pairs[:0], "mistakes": report().mistakes[:0], "rejected": []}
    page = Page(written(report(**empty), tmp_path))
    assert len(page.tables) == 9
    assert "The mean predicts the category of every test title correctly." in page.text
    assert "No row was rejected." in page.text


def test_the_report_shows_splits_metrics_mistakes_and_rejected_rows(workspace):
    page = Page((workspace.root / "results" / "report.html").read_text())
    assert page.tables["Rows and categories of each split"][1:] == [
        ["train", "320", "77.9 %", "4", "0"],
        ["validation", "80", "19.5 %", "4", "0"],
        ["test", "10", "2.4 %", "4", "1"],
        ["rejected", "1", "0.2 %", "", ""],
    ]
    headline = page.tables[HEADLINE]
    balanced = [f"{workspace.metrics[name]['balanced_accuracy']:.4f}" for name in NAMES]
    assert (headline[1][0].startswith("Balanced accuracy"), headline[1][1:]) == (True, balanced)
    pairs = page.tables["Most frequent mistakes of the mean, with the most confident examples"]
    assert [row[:3] for row in pairs[1:]] == [
        ["HOME→ SHOES", "2", "40.0 %"],
        ["ANIMALS→ TOOLS", "1", "100.0 %"],
        ["TOOLS→ SHOES", "1", "50.0 %"],
    ]
    assert pairs[2][3].endswith(" sierra")
    sizes = page.tables["By category size: the training titles of the category"]
    assert [row[:3] for row in sizes[2:]] == [["0", "1", "1"], ["10–99", "9", "3"]]
    assert [row[:2] for row in page.tables["By title length"][2:]] == [["1–2", "10"]]
    (rejected,) = page.tables["Rejected rows by reason, with the first rows of each"][1:]
    assert rejected == ["duplicate title", "1", "0.2 %", "train.csv, line 7: Bota"]
