from pathlib import Path

import numpy as np
import pandas as pd

from titles.evaluation.report import (
    MAX_REASONS,
    load_histories,
    summarize_rejected,
    summarize_splits,
)


def test_a_split_is_counted_from_its_files(tmp_path: Path):
    for name, rows in {"train": 8, "validation": 2, "test": 3, "unlabelled": 4, "rejected": 1}.items():
        pd.DataFrame({"title": ["x"] * rows}).to_parquet(tmp_path / f"{name}.parquet")
    for name, labels in {"validation": [0, 2], "test": [0, 3, 1]}.items():
        for part, array in {"labels": labels, "values": [], "offsets": [0] * (len(labels) + 1)}.items():
            np.save(tmp_path / f"{name}.{part}.npy", np.array(array, np.int64 if part == "offsets" else np.int32))
        np.save(tmp_path / f"{name}.reliable.npy", np.zeros(len(labels), bool))
    assert summarize_splits(tmp_path, tmp_path, np.array([3, 0, 1, 0])) == {
        "train": {"rows": 8, "categories": 2, "untrained": 0, "trained": 4},
        "validation": {"rows": 2, "categories": 2, "untrained": 0},
        "test": {"rows": 3, "categories": 3, "untrained": 2},
        "unlabelled": {"rows": 4},
        "rejected": {"rows": 1},
    }


def test_the_best_epoch_is_that_of_the_model_folder(tmp_path: Path):
    for name, epoch in (("mlp", 2), ("cnn", 1)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "network.json").write_text(f'{{"epoch": {epoch}}}')
        (tmp_path / name / "history.csv").write_text("epoch,train_loss\n1,2.0\n2,1.0\n")
    table = load_histories({name: tmp_path / name for name in ("mlp", "cnn")})
    expected = [["mlp", 1, False], ["mlp", 2, True], ["cnn", 1, True], ["cnn", 2, False]]
    assert table[["network", "epoch", "is_best"]].values.tolist() == expected


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


def test_without_rejected_rows_there_are_no_reasons(tmp_path: Path):
    write_rejected(tmp_path, [])
    assert summarize_rejected(tmp_path) == []
