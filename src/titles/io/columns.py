"""Which columns of a file are read, and what they are called there."""

import unicodedata
from collections import Counter
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

from titles.core.errors import InputError


@dataclass(frozen=True)
class ColumnNames:
    """The names that the files have for the columns that are read: `prepare.columns` of params.yaml."""

    title: str = "title"
    category: str = "category"
    language: str = "language"
    label_quality: str = "label_quality"
    id: str = "id"

    def __post_init__(self) -> None:
        named: dict[str, str] = {}
        for column, name in asdict(self).items():
            if (other := named.setdefault(normalize_column_name(name), column)) != column:
                raise InputError(f"prepare.columns: {other} and {column} are both {name!r}; give each its own column")


def normalize_column_name(name: str) -> str:
    """What is compared of a column's name: not the spaces around it, nor whether its accents are composed."""
    return unicodedata.normalize("NFC", name.strip())


@dataclass(frozen=True)
class ColumnMapping:
    """The name in the files of each column to read; `option`, such as `--{}-column`, is where a user sets a name."""

    names: dict[str, str]
    option: str

    def find(self, path: Path, columns: Collection[str]) -> dict[str, str]:
        """The names as the file writes them of those columns to read that are among its `columns`.

        Raises InputError for one that is there twice.
        """
        written = {normalize_column_name(column): column for column in columns}
        times = Counter(map(normalize_column_name, columns))
        found = {
            column: written[normalize_column_name(name)]
            for column, name in self.names.items()
            if normalize_column_name(name) in times
        }
        for name in found.values():
            if times[normalize_column_name(name)] > 1:
                raise InputError(
                    f"{path}: there are {times[normalize_column_name(name)]} columns {name}; rename or remove one"
                )
        return found

    def require(self, path: Path, columns: Collection[str], required: Collection[str]) -> None:
        """Raises InputError where one of the `required` is not among the `columns` of the file."""
        found = self.find(path, columns)
        if missing := sorted(set(required) - found.keys()):
            names = " or ".join(self.names[column] for column in missing)
            options = " and ".join(self.option.format(column) for column in missing)
            raise InputError(
                f"{path}: no column {names}; its columns are {', '.join(columns) or 'none'}; "
                f"if it has another name, give that by {options}"
            )
