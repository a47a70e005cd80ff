from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.serving.page import Page
from titles.evaluation.report import (
    MAX_REASONS,
    MAX_TEXT_LENGTH,
    Report,
    load_histories,
    sanitize_text,
    summarize_rejected,
    summarize_splits,
)

NAMES = ["mlp", "cnn", "mean"]
METRICS = ["balanced_accuracy", "accuracy", "top5_accuracy", "macro_f1", "log_loss", "expected_calibration_error"]
EPOCH = ["network", "epoch", "kept", "train_loss", "validation_loss", "validation_balanced_accuracy"]


def group(*titles_by_name: tuple[str, int]) -> pd.DataFrame:
    worth = dict.fromkeys([f"{name}_{kind}" for name in NAMES for kind in ("accuracy", "balanced_accuracy")], 0.5)
    rows = {name: {"titles": titles, "categories": 2} | worth for name, titles in titles_by_name}
    return pd.DataFrame.from_dict(rows, orient="index")


def report(**changed: Any) -> Report:
    """A small one; its title is one that was taken for another."""
    title = changed.pop("title", "zapato")
    shown: dict[str, Any] = {
        "splits": {
            "train": {"rows": 1500, "learned": 150, "categories": 2, "unlearned": 0},
            "validation": {"rows": 100, "categories": 2, "unlearned": 0},
            "test": {"rows": 300, "categories": 3, "unlearned": 1},
            "rejected": {"rows": 100},
        },
        "metrics": {name: dict.fromkeys([*METRICS, "expected_calibration_error_uncalibrated"], 0.25) for name in NAMES},
        "histories": pd.DataFrame([["mlp", 1, True, 2.0, 1.0, 0.5], ["cnn", 1, True, 2.0, 1.0, 0.5]], columns=EPOCH),
        "sorted_recall": pd.DataFrame({"share": [0.5, 1.0], "mlp": [0, 1], "cnn": [0.5, 1], "mean": [0.25, 1]}),
        "recall_by_category": pd.DataFrame(
            [["HOME", 1234, 200, 0.5, 0.25, 0.0], ["SHOES", 7, 100, 1.0, 1.0, 1.0]],
            columns=["category", "train_titles", "test_titles", *NAMES],
        ),
        "confused_pairs": pd.DataFrame(
            {"category": ["HOME"], "taken_for": ["SHOES"], "titles": [1], "share": [0.005], "pair": ["HOME → SHOES"]}
        ),
        "mistakes": pd.DataFrame(
            {"category": ["HOME"], "taken_for": ["SHOES"], "row": [5], "title": [title], "confidence": [0.875]}
        ),
        "groups": {
            "language": group(("spanish", 300)),
            "label_quality": group(("reliable", 100), ("unreliable", 200)),
            "category_size": group(("0", 10), ("1–9", 290)),
            "title_length": group(("1–2", 300)),
        },
        "reliability": pd.DataFrame({"confidence": [0.05, 0.95], **{name: [np.nan, 0.9] for name in NAMES}}),
        "accuracy_by_coverage": pd.DataFrame(
            {"share": [0.5, 1.0]}
            | {f"{name}_{kind}": [1.0, 0.25] for name in NAMES for kind in ("accuracy", "confidence")}
        ),
        "thresholds": pd.DataFrame(
            [["mean", 0.9, 0.95, 0.25, 95, 0.95, 0.98, 270, 0.9, 0.97]],
            columns=["network", "accuracy", "confidence", "score"]
            + [f"{split}_{kind}" for split in ("validation", "test") for kind in ("titles", "share", "accuracy")],
        ),
        "rejected": [
            {"reason": "empty title", "rows": 2, "examples": [{"file": "train.csv", "line": 1234, "title": ""}]},
            {"reason": "duplicate title", "rows": 1, "examples": [{"file": "a.csv", "line": 3, "title": title}]},
        ],
    }
    return Report(**shown | changed)


def written(shown: Report, folder: Path) -> str:
    shown.write(folder / "report.html")
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return Page(written(report(), tmp_path_factory.mktemp("results")))


def test_the_sections_stand_in_the_order_one_looks(page: Page):
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


def test_every_split_stands_with_its_rows_and_the_categories_train_lacks(page: Page):
    assert page.tables["Rows and categories of each split"][1:] == [
        ["train", "1,500", "75.0 %", "2", "0"],
        ["validation", "100", "5.0 %", "2", "0"],
        ["test", "300", "15.0 %", "3", "1"],
        ["rejected", "100", "5.0 %", "", ""],
    ]
    assert "the networks learned from 150 titles (10.0 %)" in " ".join(page.text.split())


def test_balanced_accuracy_comes_first_of_the_headline_figures(page: Page):
    header, first, *others = page.tables["What each network, and their mean, is worth on test"]
    assert header == ["Metric", *NAMES]
    assert (first[0].startswith("Balanced accuracy"), first[1:]) == (True, ["0.2500"] * 3)
    assert len(others) == 6


def test_every_category_stands_with_its_recalls_and_the_titles_it_was_learned_from(page: Page):
    assert page.tables["Recall of every test category"] == [
        ["Category", "Titles learned from", "Test titles", *NAMES],
        ["HOME", "1,234", "200", "0.5000", "0.2500", "0.0000"],
        ["SHOES", "7", "100", "1.0000", "1.0000", "1.0000"],
    ]


def test_a_confused_pair_stands_with_titles_that_were_taken_so(page: Page):
    (_, pair) = page.tables["Pairs with the most mistakes of the mean, and those it was surest of"]
    assert pair == ["HOME→ SHOES", "1", "0.5 %", "0.88 zapato"]


def test_every_group_stands_with_its_titles_and_both_accuracies(page: Page):
    by_size = page.tables["By category size: how many titles of it the networks learned from"]
    assert by_size[:2] == [
        ["Titles learned from", "Test titles", "Categories", "Balanced accuracy", "Accuracy"],
        NAMES * 2,
    ]
    assert by_size[2:] == [["0", "10", "2", *["0.5000"] * 6], ["1–9", "290", "2", *["0.5000"] * 6]]
    assert [row[0] for row in page.tables["By language"][2:]] == ["spanish"]


def test_the_confidence_table_has_accuracies_and_confidences(page: Page):
    table = page.tables["Accuracy on the surest titles, and the least confidence among them"]
    assert table[2:] == [["50.0 %", *["1.0000"] * 6], ["100.0 %", *["0.2500"] * 6]]


def test_a_threshold_stands_with_the_titles_it_rests_on_and_what_is_true_of_it_on_test(page: Page):
    table = page.tables["Thresholds: scores from which on an accuracy is sure"]
    assert table[1:] == [["mean", "0.9", "0.2500", "95", "98.0 %", "90.0 %", "97.0 %"]]


def test_without_a_threshold_the_page_says_so(tmp_path: Path):
    shown = report()
    assert "Too few validation titles are right" in written(report(thresholds=shown.thresholds[:0]), tmp_path)


def test_a_reason_stands_with_its_rows_and_where_they_are(page: Page):
    assert page.tables["Rejected rows by reason, with the first of each"][1:] == [
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
def test_a_title_is_shown_as_the_text_it_is(page: Page, tmp_path: Path, title: str):
    pd.DataFrame({"title": [title]}).to_parquet(tmp_path / "titles.parquet")
    (kept,) = pd.read_parquet(tmp_path / "titles.parquet").title
    odd = Page(written(report(title=kept), tmp_path))
    assert odd.tables["Rejected rows by reason, with the first of each"][2][3] == f"a.csv, line 3: {title}"
    assert odd.elements == page.elements


def test_what_html_has_no_letter_for_is_seen_to_be_there_and_what_is_very_long_is_cut():
    assert sanitize_text("a\x00b\x1b\x85\tc\n") == "a\ufffdb\ufffd\ufffd\tc\n"
    assert sanitize_text("x" * MAX_TEXT_LENGTH) == "x" * MAX_TEXT_LENGTH
    assert sanitize_text("x" * 10**6) == "x" * MAX_TEXT_LENGTH + "…"


def test_the_page_loads_nothing_and_runs_nothing_but_its_own(tmp_path: Path):
    text = written(report(), tmp_path)
    page = Page(text)
    assert all("src" not in attributes for _, attributes in page.elements)
    assert all(attributes.get("href", "#").startswith("#") for _, attributes in page.elements)
    assert not {"link", "img", "iframe", "object", "base", "form"} & {tag for tag, _ in page.elements}
    assert [words for words in ("url(", "@import", "fetch(", "import(") if words in text] == []
    policy = {"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"}
    assert policy == {attributes["content"] for _, attributes in page.elements if "http-equiv" in attributes}


def test_a_table_says_what_its_cells_are_of(page: Page):
    headers = [attributes for tag, attributes in page.elements if tag == "th"]
    assert {attributes["scope"] for attributes in headers} == {"col", "colgroup", "row"}
    assert [tag for tag, _ in page.elements].count("table") == len(page.tables) == 11


def test_equal_reports_are_equal_bytes(tmp_path: Path):
    assert written(report(), tmp_path) == written(report(), tmp_path)


def test_a_page_that_is_linked_to_is_not_written_to(tmp_path: Path):
    (tmp_path / "cache").write_text("before")
    (tmp_path / "report.html").hardlink_to(tmp_path / "cache")
    report().write(tmp_path / "report.html")
    assert (tmp_path / "cache").read_text() == "before"


def test_without_mistakes_and_rejected_rows_the_page_says_so(tmp_path: Path):
    nothing = {"confused_pairs": report().confused_pairs[:0], "mistakes": report().mistakes[:0], "rejected": []}
    page = Page(written(report(**nothing), tmp_path))
    assert len(page.tables) == 9
    assert "No test title was taken for another category." in page.text
    assert "No row was rejected." in page.text


def test_a_split_is_counted_from_its_files(tmp_path: Path):
    for name, rows in {"train": 8, "validation": 2, "test": 3, "unlabelled": 4, "rejected": 1}.items():
        pd.DataFrame({"title": ["x"] * rows}).to_parquet(tmp_path / f"{name}.parquet")
    for name, labels in {"validation": [0, 2], "test": [0, 3, 1]}.items():
        for part, array in {"labels": labels, "values": [], "offsets": [0] * (len(labels) + 1)}.items():
            np.save(tmp_path / f"{name}.{part}.npy", np.array(array, np.int64 if part == "offsets" else np.int32))
        np.save(tmp_path / f"{name}.reliable.npy", np.zeros(len(labels), bool))
    assert summarize_splits(tmp_path, tmp_path, np.array([3, 0, 1, 0])) == {
        "train": {"rows": 8, "categories": 2, "unlearned": 0, "learned": 4},
        "validation": {"rows": 2, "categories": 2, "unlearned": 0},
        "test": {"rows": 3, "categories": 3, "unlearned": 2},
        "unlabelled": {"rows": 4},
        "rejected": {"rows": 1},
    }


def test_the_epoch_that_was_kept_is_that_of_the_model_folder(tmp_path: Path):
    for name, epoch in (("mlp", 2), ("cnn", 1)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "network.json").write_text(f'{{"epoch": {epoch}}}')
        (tmp_path / name / "history.csv").write_text("epoch,train_loss\n1,2.0\n2,1.0\n")
    table = load_histories({name: tmp_path / name for name in ("mlp", "cnn")})
    expected = [["mlp", 1, False], ["mlp", 2, True], ["cnn", 1, True], ["cnn", 2, False]]
    assert table[["network", "epoch", "kept"]].values.tolist() == expected


def write_rejected(folder: Path, reasons: list[str]) -> None:
    columns = {"file": "a.csv", "line": range(1, len(reasons) + 1), "reason": reasons, "title": None, "category": "X"}
    table = pd.DataFrame(columns, index=range(len(reasons))).astype({"line": "int64", "title": "str"})
    table.to_parquet(folder / "rejected.parquet", row_group_size=4)


def test_reasons_are_counted_the_most_frequent_first_with_the_first_rows_of_each(tmp_path: Path):
    write_rejected(tmp_path, ["b", "c", "a", "c", "b", "c", "c"])
    found = summarize_rejected(tmp_path)
    assert [(one["reason"], one["rows"]) for one in found] == [("c", 4), ("b", 2), ("a", 1)]
    assert [example["line"] for example in found[0]["examples"]] == [2, 4, 6]
    assert found[2]["examples"] == [{"file": "a.csv", "line": 3, "reason": "a", "title": ""}]


def test_reasons_beyond_the_most_frequent_are_counted_together(tmp_path: Path):
    write_rejected(tmp_path, [f"{number:03}" for number in range(MAX_REASONS + 5)])
    found = summarize_rejected(tmp_path)
    assert len(found) == MAX_REASONS + 1
    assert found[-1] == {"reason": "other reasons", "rows": 5, "examples": []}


def test_no_rejected_row_is_no_reason(tmp_path: Path):
    write_rejected(tmp_path, [])
    assert summarize_rejected(tmp_path) == []
