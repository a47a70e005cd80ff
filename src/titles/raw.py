"""The folder a user gives: finds its files, recognises what they are, and reads their rows.

Rows are read here and not by the engine, because only then every row that cannot be used has its line.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from titles.errors import InputError
from titles.formats import COMPRESSIONS, FORMATS, decompressed
from titles.progress import Progress
from titles.rows import DAMAGES

log = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class RawFile:
    """A file of titles; a test file that has no category is of the split `unlabelled`."""

    path: Path
    split: str
    format: str
    compression: str
    columns: tuple[str, ...]

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows in the order of the file. Raises InputError with the line where the file is damaged."""
        with Progress(self.path.stat().st_size, "bytes", f"reading {self.path.name}") as bar:
            for batch, position in self.positioned():
                bar.update(position - bar.done)
                yield batch

    def positioned(self) -> Iterator[tuple[pa.RecordBatch, int]]:
        """The same rows, each batch with the number of bytes of the file that end with it."""
        line = 0
        with self.path.open("rb") as stream:
            try:
                # Of Parquet the footer is read first, so that the place in the stream tells nothing.
                is_parquet, size = self.format == "parquet", self.path.stat().st_size
                rows = pq.read_metadata(self.path).num_rows if is_parquet else 0
                for batch in FORMATS[self.format].batches(decompressed(stream, self.compression), self.path):
                    if len(batch):
                        line = batch["line"][-1].as_py()
                        yield batch, size * line // rows if is_parquet else stream.tell()
            except DAMAGES as error:
                raise InputError(
                    f"{self.path}: damaged or cut short after line {line} ({error}); fetch it again"
                ) from None
        if line == 0:
            raise InputError(f"{self.path} has no rows; give it some or remove it")


def find_files(folder: Path) -> list[RawFile]:
    """The files of the folder whose name has a part train, validation or test; logs those it passes over.

    Raises InputError for a missing train file or column, one name in two formats, an unknown format or compression.
    """
    if not folder.is_dir():
        raise InputError(
            f"data.raw: {folder} is not a folder; give one that holds train.csv, train.jsonl or train.parquet"
        )
    files: dict[str, RawFile] = {}
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        split = next((part for part in path.name.split(".") if part in SPLITS), None)
        if path.name == ".gitignore" or path.suffix == ".dvc":
            continue
        if split is None:
            log.warning("passed over %s: no part of its name is train, validation or test", path)
            continue
        parts = path.name.split(".")
        end = parts.index(split) + 1
        name, kind = ".".join(parts[:end]), ".".join(parts[end:])
        if name in files:
            raise InputError(f"{files[name].path} and {path.name} are one name in two formats; keep one of them")
        files[name] = recognise(path, split, kind)
    if not any(file.split == "train" for file in files.values()):
        raise InputError(
            f"{folder} has no train file; it needs train.csv, train.jsonl or train.parquet, compressed or not"
        )
    return list(files.values())


def recognise(path: Path, split: str, kind: str) -> RawFile:
    """The file as one of that split; `kind` is how its name ends: `csv.gz`.

    Raises InputError for an unknown format or compression, or where a column is missing.
    """
    name, _, compression = kind.partition(".")
    if name not in FORMATS:
        raise InputError(f"{path}: unknown format {name!r}; known are {', '.join(FORMATS)}")
    if compression not in COMPRESSIONS or (name == "parquet" and compression):
        known = "none, as Parquet compresses itself" if name == "parquet" else "gz, bz2, zst or none"
        raise InputError(f"{path}: unknown compression {compression!r}; known are {known}")
    with path.open("rb") as stream:
        try:
            columns = FORMATS[name].columns(decompressed(stream, compression), path)
        except DAMAGES as error:
            raise InputError(f"{path}: damaged ({error}); fetch it again") from None
    if split == "test" and "id" in columns and "category" not in columns:
        split = "unlabelled"
    missing = {"title"} if split == "unlabelled" else {"title", "category"}
    if missing := missing - set(columns):
        raise InputError(
            f"{path}: no column {' or '.join(sorted(missing))}; its columns are {', '.join(columns) or 'none'}"
        )
    return RawFile(path, split, name, compression, tuple(columns))


def titles_file(path: Path) -> RawFile:
    """A file of titles to find categories for, whatever its name before the format.

    Raises InputError where it is not there, is of an unknown format or compression, or has no column title.
    """
    if not path.is_file():
        raise InputError(f"{path} is not a file; give one with titles")
    parts = path.name.split(".")
    start = max((place for place, part in enumerate(parts) if part in FORMATS), default=-1)
    return recognise(path, "unlabelled", ".".join(parts[start:]))
