"""Find the files of titles in the raw folder, or inspect a single file to predict."""

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
    """Section `data` of params.yaml; docs/parameters.md explains the keys."""

    raw: str


def find_files(folder: Path, names: ColumnNames | None = None) -> list[SourceFile]:
    """Find the files whose dotted name contains train, validation or test, and log the files that are skipped.

    Raise InputError if the train file or a required column is missing, if one name occurs in two formats, if a format
    or compression is not supported, or if a file with the name of a split cannot be read.
    """
    if not folder.is_dir():
        raise InputError(
            f"data.raw: {folder} is not a folder; give one that holds train.csv, train.jsonl or train.parquet"
        )
    mapping = ColumnMapping(asdict(names or ColumnNames()), "prepare.columns.{}")
    files: dict[str, SourceFile] = {}
    for path in sorted(folder.iterdir()):
        components = path.name.lower().split(".")
        split = next((component for component in components if component in SPLITS), None)
        if _is_ignored(path, split) or split is None:
            continue
        end = components.index(split) + 1
        name, extension = ".".join(components[:end]), ".".join(components[end:])
        if name in files:
            raise InputError(f"{files[name].path} and {path.name} are one name in two formats; keep one of them")
        files[name] = inspect_file(path, split, extension, mapping)
        for column in ("language", "label_quality"):
            if column not in files[name].names and mapping.names[column] != column:
                log.warning("%s: no column %s (prepare.columns.%s)", path, mapping.names[column], column)
    if not any(file.split == "train" for file in files.values()):
        raise InputError(
            f"{folder} has no train file; it needs train.csv, train.jsonl or train.parquet, compressed or not"
        )
    return list(files.values())


def _is_ignored(path: Path, split: str | None) -> bool:
    """Whether the name of the path shows that it holds no titles.

    Raise InputError if the path has the name of a split but does not exist: a missing DVC output or a broken link.
    """
    name = path.name
    if path.suffix == ".dvc":
        if split and not path.with_suffix("").exists():
            raise InputError(f"{path}: {path.stem} is not here; fetch it: dvc pull")
        return True
    if name == ".gitignore":
        return True
    if name.startswith((".", "~", "#")) or name.endswith(("~", "#")):
        log.warning("skipped %s: a hidden file or a temporary file of an editor", path)
        return True
    if split is None:
        if not path.is_dir():
            log.warning("skipped %s: its name does not contain train, validation or test between dots", path)
        return True
    if not path.exists():
        raise InputError(f"{path} is a link to a missing file; fetch it (dvc pull), or remove the link")
    return False


def titles_file(
    path: Path,
    title: str = "title",
    id_: str = "id",
    required: Collection[str] = ("title",),
    keep_columns: Sequence[str] = (),
) -> SourceFile:
    """Inspect a file of titles to predict.

    `title` and `id_` are the names of these columns in the file; `keep_columns` are read as well. Raise InputError if
    the file does not exist, if its format or compression is not supported, or if a column of `required` or
    `keep_columns` is missing.
    """
    if not path.exists():
        raise InputError(f"{path} is not a file; give one with titles")
    components = path.name.lower().split(".")
    start = max((index for index, component in enumerate(components) if component in FORMATS), default=-1)
    mapping = ColumnMapping({"title": title, "id": id_} | {column: column for column in keep_columns}, "--{}-column")
    file = inspect_file(path, "unlabelled", ".".join(components[start:]), mapping, required)
    for column in keep_columns:
        if column not in file.names:
            raise InputError(f"{path}: no column {column} to keep; its columns are {', '.join(file.columns)}")
    return file
