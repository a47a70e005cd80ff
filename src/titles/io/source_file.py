"""A file of titles, or a folder of Parquet files: what it is, and its rows.

Rows are read here and not by the engine, because only then every row that cannot be used has its line.
"""

import shlex
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from titles.core.errors import InputError
from titles.core.progress import Progress
from titles.io.columns import ColumnMapping
from titles.io.file_types import check_compression, check_not_workbook, check_type, first_bytes, transcode_to_utf8
from titles.io.readers import COMPRESSIONS, FORMATS, decompress
from titles.io.records import READ_ERRORS


@dataclass(frozen=True)
class SourceFile:
    """A file of titles, or a folder of Parquet files; a test file that has no category is of the split `unlabelled`.

    `names` has the name in the file of each column that is read.
    """

    path: Path
    split: str
    format: str
    compression: str
    columns: tuple[str, ...]
    names: dict[str, str]

    @property
    def paths(self) -> list[Path]:
        """The file itself, or the files of the folder in the order of their rows."""
        return parquet_files(self.path) if self.path.is_dir() else [self.path]

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(part.stat().st_size for part in self.paths)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows in the order of the file, the lines of a folder's files counted through.

        Raises InputError with the line where the file is damaged.
        """
        with Progress(self.size, "bytes", f"reading {self.path.name}") as bar:
            for batch, position in self.batches_with_positions():
                bar.update(position - bar.done)
                yield batch

    def batches_with_positions(self) -> Iterator[tuple[pa.RecordBatch, int]]:
        """The same rows, each batch with the number of bytes that end with it."""
        line = size = 0
        for part in self.paths:
            before = line
            for batch, position in self._read_file(part):
                if before:
                    batch = batch.set_column(0, batch.schema[0], pc.add(batch["line"], before))
                line = batch["line"][-1].as_py()
                yield batch, size + position
            size += part.stat().st_size
        if line == 0:
            raise InputError(f"{self.path} has no rows; give it some or remove it")

    def _read_file(self, path: Path) -> Iterator[tuple[pa.RecordBatch, int]]:
        line = 0
        with path.open("rb") as stream:
            try:
                # Of Parquet the footer is read first, so that the place in the stream tells nothing.
                is_parquet, size = self.format == "parquet", path.stat().st_size
                rows = pq.read_metadata(path).num_rows if is_parquet else 0
                content = transcode_to_utf8(decompress(stream, self.compression))
                for batch in FORMATS[self.format].read_batches(content, path, self.names):
                    if len(batch):
                        line = batch["line"][-1].as_py()
                        yield batch, size * line // rows if is_parquet else stream.tell()
            except READ_ERRORS as error:
                raise InputError(f"{path}: damaged or cut short after line {line} ({error}); fetch it again") from None


def parquet_files(folder: Path) -> list[Path]:
    """The Parquet files of a folder as Spark, Dask and Polars write them, in the order of their names.

    Raises InputError where there are none, or where a column is in the names of folders.
    """
    parts = sorted(
        path
        for path in folder.rglob("*.parquet")
        if not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
    )
    if not parts:
        raise InputError(f"{folder} is a folder without a Parquet file; give it some, or remove it")
    for part in parts:
        if "=" in (inner := part.relative_to(folder).parent.as_posix()):
            raise InputError(f"{part}: {inner} is a column in the name of a folder; write it without partitions")
    return parts


def inspect_file(
    path: Path, split: str, extension: str, mapping: ColumnMapping, required: Collection[str] = ()
) -> SourceFile:
    """The file as one of that split; `kind` is how its name ends in lower case: `csv.gz`.

    Raises InputError for an unknown format or compression, for what is something else than its name says, or where a
    column is missing: one that is `required`, else one that the split needs.
    """
    name, _, compression = extension.partition(".")
    if path.is_dir() and name != "parquet":
        raise InputError(f"{path} is a folder; only Parquet is read as one: join its files into one file, or move it")
    check_not_workbook(path, name)
    if name not in FORMATS:
        lines = (
            f"; a title a line is read by: titles predict MODELS - < {shlex.quote(str(path))}" if name == "txt" else ""
        )
        raise InputError(f"{path}: unknown format {name!r}; known are {', '.join(FORMATS)}{lines}")
    if compression not in COMPRESSIONS or (name == "parquet" and compression):
        known = "none, as Parquet compresses itself" if name == "parquet" else "gz, bz2, zst or none"
        raise InputError(f"{path}: unknown compression {compression!r}; known are {known}")
    columns = _common_columns(path, name, compression, mapping)
    found = mapping.find(path, columns)
    if split == "test" and "id" in found and "category" not in found:
        split = "unlabelled"
    mapping.require(path, columns, required or (("title",) if split == "unlabelled" else ("title", "category")))
    return SourceFile(path, split, name, compression, tuple(columns), found)


def _common_columns(path: Path, format_name: str, compression: str, mapping: ColumnMapping) -> list[str]:
    """The columns of a file, or those that all files of a folder must have."""
    first, *others = parquet_files(path) if path.is_dir() else [path]
    columns = _read_columns(first, format_name, compression, mapping)
    for other in others:
        if mapping.find(other, _read_columns(other, format_name, compression, mapping)) != mapping.find(first, columns):
            raise InputError(f"{other} has other columns than {first.name}; write the folder anew")
    return columns


def _read_columns(path: Path, format_name: str, compression: str, mapping: ColumnMapping) -> list[str]:
    if not path.is_file():
        raise InputError(f"{path} is neither a file nor a folder; replace it by one")
    try:
        with path.open("rb") as stream:
            check_compression(stream.peek(4), path, compression)
            sample = first_bytes(transcode_to_utf8(decompress(stream, compression)))
            if not sample.strip():
                raise InputError(f"{path} is empty; give it rows or remove it")
            check_type(sample, path, format_name, compression)
        with path.open("rb") as stream:
            content = transcode_to_utf8(decompress(stream, compression))
            return FORMATS[format_name].read_columns(content, path, mapping.names.values())
    except READ_ERRORS as error:
        raise InputError(f"{path}: damaged ({error}); fetch it again") from None
