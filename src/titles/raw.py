"""The folder a user gives: finds its files and reads their rows, whatever their format and compression.

Rows are read here and not by the engine, because only then every row that cannot be used has its line.
"""

import csv
import io
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple, cast

import pyarrow as pa
import pyarrow.parquet as pq

from titles.errors import InputError
from titles.progress import Progress

log = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")
COLUMNS = ("id", "title", "category", "language", "label_quality")
COMPRESSIONS = {"": None, "gz": "gzip", "bz2": "bz2", "zst": "zstd"}
NO_VALUES = (None,) * len(COLUMNS)


class Row(NamedTuple):
    """A row as it stands in its file: the values of `COLUMNS`, and why it could not be read if it could not.

    Bytes that are no UTF-8 arrive as lone surrogates.
    """

    line: int
    values: tuple[str | None, ...]
    fault: str | None = None


@dataclass(frozen=True)
class RawFile:
    """A file of titles; a test file that has no category is of the split `unlabelled`."""

    path: Path
    split: str
    format: str
    compression: str

    def rows(self) -> Iterator[Row]:
        """The rows in the order of the file. Raises InputError with the line where the file is damaged."""
        line = 0
        with (
            self.path.open("rb") as stream,
            Progress(self.path.stat().st_size, "bytes", f"reading {self.path.name}") as bar,
        ):
            try:
                for row in FORMATS[self.format].rows(_decompressed(stream, self.compression), self.path):
                    line = row.line
                    if line % 10_000 == 0:
                        bar.update(stream.tell() - bar.done)
                    yield row
            except (OSError, pa.ArrowException) as error:
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
        files[name] = _recognise(path, split, kind)
    if not any(file.split == "train" for file in files.values()):
        raise InputError(
            f"{folder} has no train file; it needs train.csv, train.jsonl or train.parquet, compressed or not"
        )
    return list(files.values())


def _recognise(path: Path, split: str, kind: str) -> RawFile:
    """`kind` is what follows the split in the name: `csv.gz`."""
    name, _, compression = kind.partition(".")
    if name not in FORMATS:
        raise InputError(f"{path}: unknown format {name!r}; known are {', '.join(FORMATS)}")
    if compression not in COMPRESSIONS or (name == "parquet" and compression):
        known = "none, as Parquet compresses itself" if name == "parquet" else "gz, bz2, zst or none"
        raise InputError(f"{path}: unknown compression {compression!r}; known are {known}")
    with path.open("rb") as stream:
        try:
            columns = FORMATS[name].columns(_decompressed(stream, compression))
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{path}: damaged ({error}); fetch it again") from None
    if split == "test" and "id" in columns and "category" not in columns:
        split = "unlabelled"
    missing = {"title"} if split == "unlabelled" else {"title", "category"}
    if missing := missing - set(columns):
        raise InputError(
            f"{path}: no column {' or '.join(sorted(missing))}; its columns are {', '.join(columns) or 'none'}"
        )
    return RawFile(path, split, name, compression)


def _decompressed(stream: IO[bytes], compression: str) -> IO[bytes]:
    if not compression:
        return stream
    # Arrow's streams take files of several members and notice a missing end; zstandard's own reader does not.
    arrow = pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), COMPRESSIONS[compression])
    return cast("IO[bytes]", io.BufferedReader(arrow))


def _csv_text(stream: IO[bytes]) -> IO[str]:
    return io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _csv_columns(stream: IO[bytes]) -> list[str]:
    return [column.strip() for column in next(csv.reader(_csv_text(stream)), [])]


def _csv_rows(stream: IO[bytes], path: Path) -> Iterator[Row]:
    reader = csv.reader(_csv_text(stream), strict=True)
    header = [column.strip() for column in next(reader)]
    places = [header.index(column) if column in header else None for column in COLUMNS]
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # A record that swallowed further lines took other rows with it, so this is no matter of one row.
            if reader.line_num > line or "end of data" in str(error):
                raise InputError(
                    f"{path}, line {line}: a quote opens there and does not close ({error}); mend it"
                ) from None
            yield Row(line, NO_VALUES, f"not CSV: {error}")
            continue
        if len(fields) == len(header):
            yield Row(line, tuple(None if place is None else fields[place] for place in places))
        elif fields:
            yield Row(line, NO_VALUES, f"{len(fields)} fields where the header has {len(header)}")


def _json_object(line: bytes) -> dict[str, object]:
    """Raises ValueError where the line holds none."""
    try:
        content = json.loads(line.decode("utf-8-sig", errors="surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(content, dict):
        raise ValueError("not a JSON object")
    return content


def _jsonl_columns(stream: IO[bytes]) -> list[str]:
    for line in stream:
        try:
            return list(_json_object(line))
        except ValueError:
            continue
    return []


def _jsonl_rows(stream: IO[bytes], path: Path) -> Iterator[Row]:
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        try:
            content = _json_object(line)
        except ValueError as error:
            yield Row(number, NO_VALUES, str(error))
            continue
        values = (content.get(column) for column in COLUMNS)
        yield Row(number, tuple(None if value is None else str(value) for value in values))


def _parquet_columns(stream: IO[bytes]) -> list[str]:
    return list(pq.read_schema(stream).names)


def _parquet_rows(stream: IO[bytes], path: Path) -> Iterator[Row]:
    """Parquet has no lines; the number of the row stands for it."""
    table = pq.ParquetFile(stream)
    columns = [column for column in COLUMNS if column in table.schema_arrow.names]
    number = 0
    for batch in table.iter_batches(columns=columns):
        absent = pa.nulls(len(batch), pa.string())
        values = [
            batch[column].cast(pa.string()).to_pylist() if column in columns else absent.to_pylist()
            for column in COLUMNS
        ]
        for row in zip(*values, strict=True):
            number += 1
            yield Row(number, row)


class Format(NamedTuple):
    """How to read a format: the names of its columns, and its rows."""

    columns: Callable[[IO[bytes]], list[str]]
    rows: Callable[[IO[bytes], Path], Iterator[Row]]


FORMATS = {
    "csv": Format(_csv_columns, _csv_rows),
    "jsonl": Format(_jsonl_columns, _jsonl_rows),
    "parquet": Format(_parquet_columns, _parquet_rows),
}
