from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from titles.core.errors import InputError
from titles.io.table_writer import escape_formulas, open_file_writer

SCHEMA = pa.schema([("line", pa.int64()), ("title", pa.string()), ("score", pa.float32())])
TABLES = [
    pa.table([[1, 2], ['a "quoted", title\nof two lines', None], [0.25, None]], SCHEMA),
    pa.table([[3], ["ñandú 電話"], [1.0]], SCHEMA),
]
READERS = {"parquet": pd.read_parquet, "csv": pd.read_csv, "jsonl": lambda path: pd.read_json(path, lines=True)}


@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "a.b.csv.gz", "csv.jsonl", "a.jsonl.bz2", "a.csv.zst"])
def test_a_written_file_is_read_back_in_the_format_of_its_name(tmp_path, name):
    with open_file_writer(tmp_path / name, SCHEMA) as write:
        for table in TABLES:
            write(table)
    format_name = next(suffix for suffix in reversed(name.split(".")) if suffix in READERS)
    # Arrow decompresses, because pandas needs another package to read zst.
    read = READERS[format_name](pa.input_stream(tmp_path / name))
    pd.testing.assert_frame_equal(read, pa.concat_tables(TABLES).to_pandas(), check_dtype=False)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.txt", "csv", "a.parquet.gz", "a.gz", "gz"])
def test_a_name_without_a_supported_format_is_rejected_and_nothing_written(tmp_path, name):
    with (
        pytest.raises(InputError, match=r"names that can be written end in \.csv, \.jsonl"),
        open_file_writer(tmp_path / name, SCHEMA),
    ):
        pass
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_reported(tmp_path):
    with pytest.raises(InputError, match=r"there is no folder .*nowhere; make it first"):
        open_file_writer(tmp_path / "nowhere" / "a.csv", SCHEMA).__enter__()


def test_a_file_is_replaced_only_by_a_complete_one(tmp_path):
    (tmp_path / "a.csv").write_text("old content")
    with pytest.raises(KeyboardInterrupt), open_file_writer(tmp_path / "a.csv", SCHEMA) as write:
        write(TABLES[0])
        raise KeyboardInterrupt
    assert (tmp_path / "a.csv").read_text() == "old content"
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.parametrize("target_exists", [True, False])
def test_a_link_stays_a_link_and_its_target_is_written(tmp_path, target_exists):
    (tmp_path / "elsewhere").mkdir()
    if target_exists:
        (tmp_path / "elsewhere" / "b.csv").write_text("old content")
    (tmp_path / "a.csv").symlink_to("elsewhere/b.csv")
    with open_file_writer(tmp_path / "a.csv", SCHEMA) as write:
        write(TABLES[1])
    assert (tmp_path / "a.csv").readlink() == Path("elsewhere/b.csv")
    assert pd.read_csv(tmp_path / "elsewhere" / "b.csv").title.tolist() == ["ñandú 電話"]
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["b.csv"]


@pytest.mark.parametrize("target", ["nowhere/b.csv", "a.csv"])
def test_a_link_to_a_missing_folder_is_reported(tmp_path, target):
    (tmp_path / "a.csv").symlink_to(target)
    if target == "a.csv":
        with open_file_writer(tmp_path / "a.csv", SCHEMA) as write:
            write(TABLES[1])
    else:
        with pytest.raises(InputError, match=r"a\.csv: there is no folder .*nowhere; make it first"):
            open_file_writer(tmp_path / "a.csv", SCHEMA).__enter__()


def test_only_texts_that_a_spreadsheet_would_evaluate_are_escaped():
    texts = ["=1", "+1", "-1", "@a", "\ta", "\ra", "a=1", "", None, "'=1", "ñ", "a\n=1"]
    table = pa.table({"title": texts, "score": [-1.0] * len(texts)})
    assert escape_formulas(table).to_pydict() == {
        "title": ["'=1", "'+1", "'-1", "'@a", "'\ta", "'\ra", *texts[6:]],
        "score": [-1.0] * len(texts),
    }


def test_a_full_disk_is_reported_in_one_line(small_disk):
    rows = pa.table([[1], ["x" * 2_000_000], [0.5]], SCHEMA)
    with (
        pytest.raises(InputError, match=r"the disk of .*a\.csv is full \(No space left on device\)"),
        open_file_writer(small_disk / "a.csv", SCHEMA) as write,
    ):
        write(rows)
    assert not list(small_disk.iterdir())
