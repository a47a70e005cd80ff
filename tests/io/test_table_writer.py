from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from titles.core.errors import InputError
from titles.io.table_writer import escape_formulas, open_file_writer

SCHEMA = pa.schema([("line", pa.int64()), ("title", pa.string()), ("score", pa.float32())])
PARTS = [
    pa.table([[1, 2], ['a "quoted", title\nof two lines', None], [0.25, None]], SCHEMA),
    pa.table([[3], ["ñandú 電話"], [1.0]], SCHEMA),
]
READERS = {"parquet": pd.read_parquet, "csv": pd.read_csv, "jsonl": lambda path: pd.read_json(path, lines=True)}


@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "a.b.csv.gz", "csv.jsonl", "a.jsonl.bz2", "a.csv.zst"])
def test_what_is_written_is_read_in_the_format_the_name_says(tmp_path, name):
    with open_file_writer(tmp_path / name, SCHEMA) as write:
        for part in PARTS:
            write(part)
    kind = next(part for part in reversed(name.split(".")) if part in READERS)
    # Arrow decompresses: of zst, pandas reads nothing without another package.
    found = READERS[kind](pa.input_stream(tmp_path / name))
    pd.testing.assert_frame_equal(found, pa.concat_tables(PARTS).to_pandas(), check_dtype=False)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.txt", "csv", "a.parquet.gz", "a.gz", "gz"])
def test_a_name_that_says_no_format_is_refused_and_nothing_written(tmp_path, name):
    with (
        pytest.raises(InputError, match=r"names that can be written end in \.csv, \.jsonl"),
        open_file_writer(tmp_path / name, SCHEMA),
    ):
        pass
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match=r"there is no folder .*nowhere; make it first"):
        open_file_writer(tmp_path / "nowhere" / "a.csv", SCHEMA).__enter__()


def test_a_file_is_replaced_only_by_a_whole_one(tmp_path):
    (tmp_path / "a.csv").write_text("what was there")
    with pytest.raises(KeyboardInterrupt), open_file_writer(tmp_path / "a.csv", SCHEMA) as write:
        write(PARTS[0])
        raise KeyboardInterrupt
    assert (tmp_path / "a.csv").read_text() == "what was there"
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.parametrize("is_there", [True, False])
def test_a_link_stays_a_link_and_what_it_leads_to_is_written(tmp_path, is_there):
    (tmp_path / "elsewhere").mkdir()
    if is_there:
        (tmp_path / "elsewhere" / "b.csv").write_text("what was there")
    (tmp_path / "a.csv").symlink_to("elsewhere/b.csv")
    with open_file_writer(tmp_path / "a.csv", SCHEMA) as write:
        write(PARTS[1])
    assert (tmp_path / "a.csv").readlink() == Path("elsewhere/b.csv")
    assert pd.read_csv(tmp_path / "elsewhere" / "b.csv").title.tolist() == ["ñandú 電話"]
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["b.csv"]


@pytest.mark.parametrize("target", ["nowhere/b.csv", "a.csv"])
def test_a_link_that_leads_nowhere_is_told(tmp_path, target):
    (tmp_path / "a.csv").symlink_to(target)
    if target == "a.csv":
        with open_file_writer(tmp_path / "a.csv", SCHEMA) as write:
            write(PARTS[1])
    else:
        with pytest.raises(InputError, match=r"a\.csv: there is no folder .*nowhere; make it first"):
            open_file_writer(tmp_path / "a.csv", SCHEMA).__enter__()


def test_what_a_spreadsheet_would_run_is_escaped_and_all_else_stays():
    texts = ["=1", "+1", "-1", "@a", "\ta", "\ra", "a=1", "", None, "'=1", "ñ", "a\n=1"]
    table = pa.table({"title": texts, "score": [-1.0] * len(texts)})
    assert escape_formulas(table).to_pydict() == {
        "title": ["'=1", "'+1", "'-1", "'@a", "'\ta", "'\ra", *texts[6:]],
        "score": [-1.0] * len(texts),
    }


def test_a_full_disk_is_told_in_one_line(small_disk):
    rows = pa.table([[1], ["x" * 2_000_000], [0.5]], SCHEMA)
    with (
        pytest.raises(InputError, match=r"the disk of .*a\.csv is full \(No space left on device\)"),
        open_file_writer(small_disk / "a.csv", SCHEMA) as write,
    ):
        write(rows)
    assert not list(small_disk.iterdir())
