"""Files that tables are written to some rows at a time, in the format their name says."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.csv import CSVWriter

from titles.core.disk_full import disk_full_as_input_error
from titles.core.errors import InputError
from titles.io.parquet_writer import DeterministicParquetWriter
from titles.io.readers import COMPRESSIONS

WriteTable = Callable[[pa.Table], None]


def resolve_link(path: Path) -> Path:
    """The file to write where `path` is asked for: what a link leads to, for the link to stay."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def output_format(path: Path) -> tuple[str, str]:
    """Of `predictions.csv.gz` csv and gz. Raises InputError for another format, or where its folder is not there."""
    parts = path.name.split(".")[1:]
    compression = parts.pop() if parts and parts[-1] in COMPRESSIONS else ""
    name = parts[-1] if parts else ""
    if name not in WRITERS or (name == "parquet" and compression):
        allowed = ".csv, .jsonl or .parquet, the first two also with .gz, .bz2 or .zst after it"
        raise InputError(f"{path}: names that can be written end in {allowed}")
    if path.is_dir():
        raise InputError(f"{path} is a folder; give a file to write")
    parent = resolve_link(path).parent
    if not parent.is_dir():
        raise InputError(f"{path}: there is no folder {parent}; make it first")
    return name, compression


@contextmanager
def open_file_writer(path: Path, schema: pa.Schema) -> Iterator[WriteTable]:
    """What writes tables to the file, which is there once the block is through, and whole.

    Where the path is a link, it stays one, and what it leads to is written. Raises InputError for a format that is not
    written, or where the disk is full.
    """
    name, compression = output_format(path)
    path = resolve_link(path)
    unfinished = path.with_name(f".{path.name}.unfinished")
    with disk_full_as_input_error(path):
        try:
            with WRITERS[name](unfinished, compression, schema) as write:
                yield write
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)


def escape_formulas(table: pa.Table) -> pa.Table:
    """With `'` before each text that a spreadsheet would take for a formula."""
    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            texts = pc.replace_substring_regex(table.column(place), r"\A([=+\-@\t\r])", r"'\1")
            table = table.set_column(place, field, texts)
    return table


@contextmanager
def open_stdout_writer(schema: pa.Schema) -> Iterator[WriteTable]:
    """What prints tables as CSV."""
    # Arrow closes what it writes to, and others may have something to print yet.
    with (
        open(sys.stdout.fileno(), "wb", buffering=0, closefd=False) as stdout,
        pa.PythonFile(stdout, mode="w") as sink,
        CSVWriter(sink, schema) as writer,
    ):
        yield writer.write_table


def open_writer(path: Path | None, schema: pa.Schema) -> AbstractContextManager[WriteTable]:
    """`written` to the file, or `printed`, which is None."""
    return open_file_writer(path, schema) if path else open_stdout_writer(schema)


@contextmanager
def _open_parquet_writer(path: Path, _compression: str, schema: pa.Schema) -> Iterator[WriteTable]:
    with DeterministicParquetWriter(path, schema) as groups:
        yield groups.write


@contextmanager
def _open_csv_writer(path: Path, compression: str, schema: pa.Schema) -> Iterator[WriteTable]:
    with _open_compressed(path, compression) as sink, CSVWriter(sink, schema) as writer:
        yield writer.write_table


@contextmanager
def _open_jsonl_writer(path: Path, compression: str, _schema: pa.Schema) -> Iterator[WriteTable]:
    with _open_compressed(path, compression) as sink:
        yield lambda rows: sink.write(
            rows.to_pandas().to_json(None, orient="records", lines=True, force_ascii=False).encode()
        )


def _open_compressed(path: Path, compression: str) -> pa.NativeFile:
    return pa.output_stream(path, compression=COMPRESSIONS[compression])


WRITERS = {"parquet": _open_parquet_writer, "csv": _open_csv_writer, "jsonl": _open_jsonl_writer}
