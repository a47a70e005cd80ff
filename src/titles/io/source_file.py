"""A file of titles or a folder of Parquet files: its format, columns and rows.

Rows are read here and not by the engine, so that every rejected row has its line.
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
    """A file of titles or a folder of Parquet files. A test file without categories has the split `unlabelled`.

    `names` maps each column that is read to its name in the file.
    """

    path: Path
    split: str
    format: str
    compression: str
    columns: tuple[str, ...]
    names: dict[str, str]

    @property
    def paths(self) -> list[Path]:
        """The file itself, or the files of the folder in the order in which they are read."""
        return parquet_files(self.path) if self.path.is_dir() else [self.path]

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(path.stat().st_size for path in self.paths)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows in their order. The lines of a folder are counted through all its files.

        Raise InputError with the line if the file is damaged or has no rows.
        """
        with Progress(self.size, "bytes", f"reading {self.path.name}") as bar:
            for batch, position in self.batches_with_positions():
                bar.update(position - bar.done)
                yield batch

    def batches_with_positions(self) -> Iterator[tuple[pa.RecordBatch, int]]:
        """Yield the same batches, each with the number of bytes read up to its end."""
        line = size = 0
        for path in self.paths:
            previous_lines = line
            for batch, position in self._read_file(path):
                if previous_lines:
                    batch = batch.set_column(0, batch.schema[0], pc.add(batch["line"], previous_lines))
                line = batch["line"][-1].as_py()
                yield batch, size + position
            size += path.stat().st_size
        if line == 0:
            raise InputError(f"{self.path} has no rows; add some or remove it")

    def _read_file(self, path: Path) -> Iterator[tuple[pa.RecordBatch, int]]:
        line = 0
        with path.open("rb") as stream:
            try:
                # The footer of Parquet is read first, so the position in the stream is not that of the rows.
                is_parquet, size = self.format == "parquet", path.stat().st_size
                num_rows = pq.read_metadata(path).num_rows if is_parquet else 0
                content = transcode_to_utf8(decompress(stream, self.compression))
                for batch in FORMATS[self.format].read_batches(content, path, self.names):
                    if len(batch):
                        line = batch["line"][-1].as_py()
                        yield batch, size * line // num_rows if is_parquet else stream.tell()
            except READ_ERRORS as error:
                raise InputError(f"{path}: damaged or cut short after line {line} ({error}); fetch it again") from None


def parquet_files(folder: Path) -> list[Path]:
    """List the Parquet files of a folder written by Spark, Dask or Polars, in the order of their names.

    Raise InputError if there are none, or if the folder is partitioned by a column.
    """
    files = sorted(
        path
        for path in folder.rglob("*.parquet")
        if not any(name.startswith((".", "_")) for name in path.relative_to(folder).parts)
    )
    if not files:
        raise InputError(f"{folder} is a folder without a Parquet file; add some, or remove it")
    for file in files:
        if "=" in (inner := file.relative_to(folder).parent.as_posix()):
            raise InputError(f"{file}: {inner} is a column in the name of a folder; write it without partitions")
    return files


def inspect_file(
    path: Path, split: str, extension: str, mapping: ColumnMapping, required: Collection[str] = ()
) -> SourceFile:
    """Determine format, compression and columns of a file; `extension` is in lower case, such as `csv.gz`.

    Raise InputError if the format or compression is not supported, if the content does not match the extension, or if
    a column is missing. The columns needed are those of `required`, by default those that the split needs.
    """
    format_name, _, compression = extension.partition(".")
    is_parquet = format_name == "parquet"
    if path.is_dir() and not is_parquet:
        raise InputError(f"{path} is a folder; only Parquet is read as one: join its files into one file, or move it")
    check_not_workbook(path, format_name)
    if format_name not in FORMATS:
        command = f"titles predict MODELS - < {shlex.quote(str(path))}"
        hint = f"; to read one title per line: {command}" if format_name == "txt" else ""
        raise InputError(f"{path}: unknown format {format_name!r}; supported are {', '.join(FORMATS)}{hint}")
    if compression not in COMPRESSIONS or (is_parquet and compression):
        supported = "none, as Parquet compresses itself" if is_parquet else "gz, bz2, zst or none"
        raise InputError(f"{path}: unknown compression {compression!r}; supported are {supported}")
    columns = _common_columns(path, format_name, compression, mapping)
    found = mapping.find(path, columns)
    if split == "test" and "id" in found and "category" not in found:
        split = "unlabelled"
    mapping.require(path, columns, required or (("title",) if split == "unlabelled" else ("title", "category")))
    return SourceFile(path, split, format_name, compression, tuple(columns), found)


def _common_columns(path: Path, format_name: str, compression: str, mapping: ColumnMapping) -> list[str]:
    """The columns of a file or folder. Raise InputError if the files of a folder differ in the columns to read."""
    first, *others = parquet_files(path) if path.is_dir() else [path]
    columns = _read_columns(first, format_name, compression, mapping)
    for other in others:
        if mapping.find(other, _read_columns(other, format_name, compression, mapping)) != mapping.find(first, columns):
            raise InputError(f"{other} has other columns than {first.name}; write the folder again")
    return columns


def _read_columns(path: Path, format_name: str, compression: str, mapping: ColumnMapping) -> list[str]:
    if not path.is_file():
        raise InputError(f"{path} is neither a file nor a folder; replace it by one")
    try:
        with path.open("rb") as stream:
            check_compression(stream.peek(4), path, compression)
            sample = first_bytes(transcode_to_utf8(decompress(stream, compression)))
            if not sample.strip():
                raise InputError(f"{path} is empty; add rows or remove it")
            check_type(sample, path, format_name, compression)
        with path.open("rb") as stream:
            content = transcode_to_utf8(decompress(stream, compression))
            return FORMATS[format_name].read_columns(content, path, mapping.names.values())
    except READ_ERRORS as error:
        raise InputError(f"{path}: damaged ({error}); fetch it again") from None
