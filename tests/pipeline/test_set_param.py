"""params.yaml as DVC rewrites it for `dvc exp run -S`: one key set, one line changed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from dvc.utils.hydra import apply_overrides

PARAMS = (Path(__file__).parents[2] / "params.yaml").read_text(encoding="utf-8")

# Another value of each type, as the user writes it and as YAML reads it.
OTHER = {str: ("other", "other"), bool: ("false", False), int: ("123456", 123456), float: ("0.123456", 0.123456)}


def leaves(table: dict, prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


VALUES = dict(leaves(yaml.safe_load(PARAMS)))


def set_param(folder: Path, override: str) -> list[tuple[str, str]]:
    """Return the lines that `-S override` changes, old and new; the number of lines must not change."""
    path = folder / "params.yaml"
    path.write_text(PARAMS, encoding="utf-8")
    apply_overrides(path, [override])
    before, after = PARAMS.splitlines(keepends=True), path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [(old, new) for old, new in zip(before, after, strict=True) if old != new]


@pytest.mark.parametrize("key", VALUES)
def test_setting_a_key_changes_only_its_line(tmp_path: Path, key: str) -> None:
    written, value = OTHER[type(VALUES[key])]
    ((old, new),) = set_param(tmp_path, f"{key}={written}")
    name = key.rpartition(".")[2]
    assert old.strip().startswith(f"{name}: ")
    assert yaml.safe_load(new) == {name: value}


def test_every_parameter_is_a_scalar() -> None:
    assert {type(value) for value in VALUES.values()} == {str, bool, int, float}
