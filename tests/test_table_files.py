import pandas as pd
import pyarrow as pa
import pytest

from titles.errors import InputError
from titles.table_files import written

SCHEMA = pa.schema([("line", pa.int64()), ("title", pa.string()), ("score", pa.float32())])
PARTS = [
    pa.table([[1, 2], ['a "quoted", title\nof two lines', None], [0.25, None]], SCHEMA),
    pa.table([[3], ["ñandú 電話"], [1.0]], SCHEMA),
]
READERS = {"parquet": pd.read_parquet, "csv": pd.read_csv, "jsonl": lambda path: pd.read_json(path, lines=True)}


@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "a.b.csv.gz", "csv.jsonl", "a.jsonl.bz2", "a.csv.zst"])
def test_what_is_written_is_read_in_the_format_the_name_says(tmp_path, name):
    with written(tmp_path / name, SCHEMA) as write:
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
        written(tmp_path / name, SCHEMA),
    ):
        pass
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match=r"there is no folder .*nowhere; make it first"):
        written(tmp_path / "nowhere" / "a.csv", SCHEMA).__enter__()


def test_a_file_is_replaced_only_by_a_whole_one(tmp_path):
    (tmp_path / "a.csv").write_text("what was there")
    with pytest.raises(KeyboardInterrupt), written(tmp_path / "a.csv", SCHEMA) as write:
        write(PARTS[0])
        raise KeyboardInterrupt
    assert (tmp_path / "a.csv").read_text() == "what was there"
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_a_full_disk_is_told_in_one_line(small_disk):
    rows = pa.table([[1], ["x" * 2_000_000], [0.5]], SCHEMA)
    with (
        pytest.raises(InputError, match=r"the disk of .*a\.csv is full \(No space left on device\)"),
        written(small_disk / "a.csv", SCHEMA) as write,
    ):
        write(rows)
    assert not list(small_disk.iterdir())
