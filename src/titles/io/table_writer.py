"""Write tables batch by batch to a file, in the format of its name, or to the standard output."""

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
    """The target of `path` if it is a link, so that writing replaces the target and not the link; else `path`."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def output_format(path: Path) -> tuple[str, str]:
    """The format and compression in a file name: csv and gz for `predictions.csv.gz`.

    Raise InputError if the format cannot be written, or if the folder of the file does not exist.
    """
    suffixes = path.name.split(".")[1:]
    compression = suffixes.pop() if suffixes and suffixes[-1] in COMPRESSIONS else ""
    format_name = suffixes[-1] if suffixes else ""
    if format_name not in WRITERS or (format_name == "parquet" and compression):
        allowed = ".csv, .jsonl or .parquet, the first two also with .gz, .bz2 or .zst after it"
        raise InputError(f"{path}: names that can be written end in {allowed}")
    if path.is_dir():
        raise InputError(f"{path} is a folder; give a file to write")
    parent = resolve_link(path).parent
    if not parent.is_dir():
        raise InputError(f"{path}: there is no folder {parent}; make it first")
    return format_name, compression


@contextmanager
def open_file_writer(path: Path, schema: pa.Schema) -> Iterator[WriteTable]:
    """Yield a function that writes tables to the file. The file is replaced atomically at the end of the block.

    If the path is a link, its target is written. Raise InputError if the format cannot be written or the disk is full.
    """
    format_name, compression = output_format(path)
    path = resolve_link(path)
    unfinished = path.with_name(f".{path.name}.unfinished")
    with disk_full_as_input_error(path):
        try:
            with WRITERS[format_name](unfinished, compression, schema) as write:
                yield write
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)


def escape_formulas(table: pa.Table) -> pa.Table:
    """Prefix each text that a spreadsheet would evaluate as a formula with `'`."""
    for index, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            texts = pc.replace_substring_regex(table.column(index), r"\A([=+\-@\t\r])", r"'\1")
            table = table.set_column(index, field, texts)
    return table


@contextmanager
def open_stdout_writer(schema: pa.Schema) -> Iterator[WriteTable]:
    """Yield a function that writes tables as CSV to the standard output."""
    # Arrow closes the stream it writes to; the standard output must stay open.
    with (
        open(sys.stdout.fileno(), "wb", buffering=0, closefd=False) as stdout,
        pa.PythonFile(stdout, mode="w") as sink,
        CSVWriter(sink, schema) as writer,
    ):
        yield writer.write_table


def open_writer(path: Path | None, schema: pa.Schema) -> AbstractContextManager[WriteTable]:
    """`open_file_writer`, or `open_stdout_writer` if `path` is None."""
    return open_file_writer(path, schema) if path else open_stdout_writer(schema)


@contextmanager
def _open_parquet_writer(path: Path, _compression: str, schema: pa.Schema) -> Iterator[WriteTable]:
    with DeterministicParquetWriter(path, schema) as writer:
        yield writer.write


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
