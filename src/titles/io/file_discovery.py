"""Finds the files of titles: those of the folder a user gives, or the one that is to be predicted."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from titles.core.errors import InputError
from titles.io.columns import ColumnMapping, ColumnNames
from titles.io.readers import FORMATS
from titles.io.source_file import SourceFile, inspect_file

log = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class DataParams:
    raw: str


def find_files(folder: Path, names: ColumnNames | None = None) -> list[SourceFile]:
    """The files of the folder whose name has a part train, validation or test; logs those it passes over.

    Raises InputError for a missing train file or column, one name in two formats, an unknown format or compression,
    and for what is named as a file of titles, and is none.
    """
    if not folder.is_dir():
        raise InputError(
            f"data.raw: {folder} is not a folder; give one that holds train.csv, train.jsonl or train.parquet"
        )
    mapping = ColumnMapping(asdict(names or ColumnNames()), "prepare.columns.{}")
    files: dict[str, SourceFile] = {}
    for path in sorted(folder.iterdir()):
        parts = path.name.lower().split(".")
        split = next((part for part in parts if part in SPLITS), None)
        if _is_ignored(path, split) or split is None:
            continue
        end = parts.index(split) + 1
        name, kind = ".".join(parts[:end]), ".".join(parts[end:])
        if name in files:
            raise InputError(f"{files[name].path} and {path.name} are one name in two formats; keep one of them")
        files[name] = inspect_file(path, split, kind, mapping)
        for column in ("language", "label_quality"):
            if column not in files[name].names and mapping.names[column] != column:
                log.warning("%s: no column %s (prepare.columns.%s)", path, mapping.names[column], column)
    if not any(file.split == "train" for file in files.values()):
        raise InputError(
            f"{folder} has no train file; it needs train.csv, train.jsonl or train.parquet, compressed or not"
        )
    return list(files.values())


def _is_ignored(path: Path, split: str | None) -> bool:
    """Whether the path holds no titles, as its name says.

    Raises InputError for one that is of a split and cannot be read.
    """
    name = path.name
    if path.suffix == ".dvc":
        if split and not path.with_suffix("").exists():
            raise InputError(f"{path}: {path.stem} is not here; fetch it: dvc pull")
        return True
    if name == ".gitignore":
        return True
    if name.startswith((".", "~", "#")) or name.endswith(("~", "#")):
        log.warning("passed over %s: a hidden file, or one of an editor", path)
        return True
    if split is None:
        if not path.is_dir():
            log.warning("passed over %s: no part of its name is train, validation or test", path)
        return True
    if not path.exists():
        raise InputError(f"{path} is a link to what is not here; fetch it (dvc pull), or remove the link")
    return False


def titles_file(
    path: Path,
    title: str = "title",
    id_: str = "id",
    required: Collection[str] = ("title",),
    keep_columns: Sequence[str] = (),
) -> SourceFile:
    """A file of titles to find categories for, whatever its name before the format; `title` and `id_` are columns.

    The columns to `keep` are read as well. Raises InputError where the file is not there, is of an unknown format or
    compression, or lacks a column that is `required` or to be kept.
    """
    if not path.exists():
        raise InputError(f"{path} is not a file; give one with titles")
    parts = path.name.lower().split(".")
    start = max((place for place, part in enumerate(parts) if part in FORMATS), default=-1)
    mapping = ColumnMapping({"title": title, "id": id_} | {column: column for column in keep_columns}, "--{}-column")
    file = inspect_file(path, "unlabelled", ".".join(parts[start:]), mapping, required)
    for column in keep_columns:
        if column not in file.names:
            raise InputError(f"{path}: no column {column} to keep; its columns are {', '.join(file.columns)}")
    return file
