"""Read the standard input as a file of titles, in any supported format."""

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from titles.core.disk_full import disk_full_as_input_error
from titles.core.errors import InputError
from titles.io.readers import FORMATS
from titles.io.source_file import SourceFile


@contextmanager
def file_or_stdin(
    path: Path | None, extension: str | None, read: Callable[[Path], SourceFile]
) -> Iterator[SourceFile | None]:
    """Yield what `read` returns for `path`, or for the standard input if `path` is None.

    Yield None if the standard input has no `extension`: its lines are titles. Raise InputError if both `path` and
    `extension` are given.
    """
    if path and extension:
        raise InputError("--format is for the standard input; the name of a file determines its format")
    if path:
        yield read(path)
    elif extension:
        with spool_to_file(sys.stdin.buffer, extension) as temporary:
            yield read(temporary)
    else:
        yield None


@contextmanager
def spool_to_file(stream: IO[bytes], extension: str) -> Iterator[Path]:
    """Copy the stream to a temporary file with this extension (`csv`, `jsonl.gz`) and yield its path.

    Raise InputError if the format is not supported or the disk of temporary files is full. An InputError raised in the
    block names the standard input instead of the temporary file.
    """
    if extension.partition(".")[0] not in FORMATS:
        raise InputError(
            f"--format is {extension!r}; supported are {', '.join(FORMATS)}, also compressed, such as csv.gz"
        )
    with TemporaryDirectory(prefix="titles-") as folder:
        path = Path(folder) / f"input.{extension}"
        try:
            with disk_full_as_input_error(path), path.open("wb") as file:
                shutil.copyfileobj(stream, file)
            yield path
        except InputError as error:
            raise InputError(str(error).replace(str(path), "standard input")) from None
