"""Files that tables are written to some rows at a time, in the format their name says."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.csv import CSVWriter

from titles.core.disk_full import room_at
from titles.core.errors import InputError
from titles.io.parquet_writer import RowGroups
from titles.io.readers import COMPRESSIONS

Write = Callable[[pa.Table], None]


def target_of(path: Path) -> Path:
    """The file to write where `path` is asked for: what a link leads to, for the link to stay."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def format_of(path: Path) -> tuple[str, str]:
    """Of `predictions.csv.gz` csv and gz. Raises InputError for another format, or where its folder is not there."""
    parts = path.name.split(".")[1:]
    compression = parts.pop() if parts and parts[-1] in COMPRESSIONS else ""
    name = parts[-1] if parts else ""
    if name not in WRITERS or (name == "parquet" and compression):
        allowed = ".csv, .jsonl or .parquet, the first two also with .gz, .bz2 or .zst after it"
        raise InputError(f"{path}: names that can be written end in {allowed}")
    if path.is_dir():
        raise InputError(f"{path} is a folder; give a file to write")
    parent = target_of(path).parent
    if not parent.is_dir():
        raise InputError(f"{path}: there is no folder {parent}; make it first")
    return name, compression


@contextmanager
def written(path: Path, schema: pa.Schema) -> Iterator[Write]:
    """What writes tables to the file, which is there once the block is through, and whole.

    Where the path is a link, it stays one, and what it leads to is written. Raises InputError for a format that is not
    written, or where the disk is full.
    """
    name, compression = format_of(path)
    path = target_of(path)
    unfinished = path.with_name(f".{path.name}.unfinished")
    with room_at(path):
        try:
            with WRITERS[name](unfinished, compression, schema) as write:
                yield write
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)


def escaped(table: pa.Table) -> pa.Table:
    """With `'` before each text that a spreadsheet would take for a formula."""
    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            texts = pc.replace_substring_regex(table.column(place), r"\A([=+\-@\t\r])", r"'\1")
            table = table.set_column(place, field, texts)
    return table


@contextmanager
def printed(schema: pa.Schema) -> Iterator[Write]:
    """What prints tables as CSV."""
    # Arrow closes what it writes to, and others may have something to print yet.
    with (
        open(sys.stdout.fileno(), "wb", buffering=0, closefd=False) as stdout,
        pa.PythonFile(stdout, mode="w") as sink,
        CSVWriter(sink, schema) as writer,
    ):
        yield writer.write_table


def written_or_printed(path: Path | None, schema: pa.Schema) -> AbstractContextManager[Write]:
    """`written` to the file, or `printed`, which is None."""
    return written(path, schema) if path else printed(schema)


@contextmanager
def _parquet(path: Path, _compression: str, schema: pa.Schema) -> Iterator[Write]:
    with RowGroups(path, schema) as groups:
        yield groups.write


@contextmanager
def _csv(path: Path, compression: str, schema: pa.Schema) -> Iterator[Write]:
    with _opened(path, compression) as sink, CSVWriter(sink, schema) as writer:
        yield writer.write_table


@contextmanager
def _jsonl(path: Path, compression: str, _schema: pa.Schema) -> Iterator[Write]:
    with _opened(path, compression) as sink:
        yield lambda rows: sink.write(
            rows.to_pandas().to_json(None, orient="records", lines=True, force_ascii=False).encode()
        )


def _opened(path: Path, compression: str) -> pa.NativeFile:
    return pa.output_stream(path, compression=COMPRESSIONS[compression])


WRITERS = {"parquet": _parquet, "csv": _csv, "jsonl": _jsonl}
