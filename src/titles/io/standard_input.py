"""The standard input as a file of titles, for the formats that lines alone do not make."""

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
    """What `read` makes of the file, or of the standard input, which is None: there without an `ending` None, too.

    Raises InputError where a file has an `ending` besides that of its name.
    """
    if path and extension:
        raise InputError("--format is for the standard input; of a file the name says it")
    if path:
        yield read(path)
    elif extension:
        with spool_to_file(sys.stdin.buffer, extension) as temporary:
            yield read(temporary)
    else:
        yield None


@contextmanager
def spool_to_file(stream: IO[bytes], extension: str) -> Iterator[Path]:
    """The stream, stored whole in a temporary file of that ending (`csv`, `jsonl.gz`) while the block runs.

    Raises InputError for an unknown ending, or where the disk of temporary files is full. An InputError of the block
    names the standard input and not the temporary file.
    """
    if extension.partition(".")[0] not in FORMATS:
        raise InputError(f"--format is {extension!r}; known are {', '.join(FORMATS)}, also compressed, such as csv.gz")
    with TemporaryDirectory(prefix="titles-") as folder:
        path = Path(folder) / f"input.{extension}"
        try:
            with disk_full_as_input_error(path), path.open("wb") as file:
                shutil.copyfileobj(stream, file)
            yield path
        except InputError as error:
            raise InputError(str(error).replace(str(path), "standard input")) from None
