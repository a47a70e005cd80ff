"""The columns read from a file and their names there."""

import unicodedata
from collections import Counter
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

from titles.core.errors import InputError


@dataclass(frozen=True)
class ColumnNames:
    """The names of the columns in the raw files: `prepare.columns` of params.yaml."""

    title: str = "title"
    category: str = "category"
    language: str = "language"
    label_quality: str = "label_quality"
    id: str = "id"

    def __post_init__(self) -> None:
        """Raise InputError if two columns have the same name."""
        column_by_name: dict[str, str] = {}
        for column, name in asdict(self).items():
            if (other := column_by_name.setdefault(normalize_column_name(name), column)) != column:
                raise InputError(f"prepare.columns: {other} and {column} are both {name!r}; give each its own column")


def normalize_column_name(name: str) -> str:
    """Strip surrounding spaces and compose accents (NFC), so that names compare equal regardless of these."""
    return unicodedata.normalize("NFC", name.strip())


@dataclass(frozen=True)
class ColumnMapping:
    """The name in the files of each column to read.

    `option` is the template of the option or key that sets a name, such as `--{}-column`. Error messages quote it.
    """

    names: dict[str, str]
    option: str

    def find(self, path: Path, columns: Collection[str]) -> dict[str, str]:
        """Map each column to read to its exact name in the file, if it is among the file's `columns`.

        Raise InputError if such a column occurs more than once.
        """
        original_names = {normalize_column_name(column): column for column in columns}
        counts = Counter(map(normalize_column_name, columns))
        found = {
            column: original_names[normalize_column_name(name)]
            for column, name in self.names.items()
            if normalize_column_name(name) in counts
        }
        for name in found.values():
            if (count := counts[normalize_column_name(name)]) > 1:
                raise InputError(f"{path}: there are {count} columns {name}; rename or remove one")
        return found

    def require(self, path: Path, columns: Collection[str], required: Collection[str]) -> None:
        """Raise InputError if a `required` column is not among the `columns` of the file."""
        found = self.find(path, columns)
        if missing := sorted(set(required) - found.keys()):
            names = " or ".join(self.names[column] for column in missing)
            options = " and ".join(self.option.format(column) for column in missing)
            raise InputError(
                f"{path}: no column {names}; its columns are {', '.join(columns) or 'none'}; "
                f"if it has another name, give that by {options}"
            )
