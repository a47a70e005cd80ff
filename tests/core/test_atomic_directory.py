import pytest

from titles.core.atomic_directory import atomic_directory, require_output
from titles.core.errors import InputError


def test_a_folder_appears_once_the_block_has_ended(tmp_path):
    with atomic_directory(tmp_path / "data") as unfinished:
        (unfinished / "file").write_text("new")
        assert not (tmp_path / "data" / "file").exists()
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["file"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_the_old_content_and_nothing_else(tmp_path, error):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("old")
    with pytest.raises(error), atomic_directory(tmp_path / "data") as unfinished:
        (unfinished / "file").write_text("half")
        raise error
    assert {path.name: path.read_text() for path in (tmp_path / "data").iterdir()} == {"file": "old"}


def test_a_missing_output_is_named_with_the_stage_that_writes_it(tmp_path):
    with pytest.raises(InputError, match=r"train\.parquet is not there; run the stage prepare to its end first"):
        require_output(tmp_path / "train.parquet", "prepare")
