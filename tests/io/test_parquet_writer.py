from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from titles.io import parquet_writer
from titles.io.parquet_writer import DeterministicParquetWriter

TITLES = pa.table({"title": [f"mesa {number}" for number in range(20)], "line": range(20)})


@settings(deadline=None, max_examples=25)
@given(cuts=st.lists(st.integers(0, 20), max_size=6).map(sorted))
def test_the_bytes_do_not_depend_on_the_sizes_of_the_tables(tmp_path_factory: pytest.TempPathFactory, cuts: list[int]):
    folder = tmp_path_factory.mktemp("groups")
    slices = [TITLES.slice(first, last - first) for first, last in zip([0, *cuts], [*cuts, 20], strict=True)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_writer, "ROW_GROUP_SIZE", 7)
        for name, tables in {"one table": [TITLES], "slices": slices}.items():
            with DeterministicParquetWriter(folder / name, TITLES.schema) as writer:
                for table in tables:
                    writer.write(table)
    assert (folder / "one table").read_bytes() == (folder / "slices").read_bytes()
    metadata = pq.read_metadata(folder / "slices")
    assert [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)] == [7, 7, 6]


def test_a_file_without_rows_has_its_columns(tmp_path: Path):
    with DeterministicParquetWriter(tmp_path / "none", TITLES.schema) as writer:
        writer.write(TITLES.slice(0, 0))
    assert pq.read_table(tmp_path / "none").equals(TITLES.slice(0, 0))
    assert writer.num_rows == 0
