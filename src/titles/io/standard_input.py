"""The standard input as a file of titles, for the formats that lines alone do not make."""

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from titles.core.disk_full import room_at
from titles.core.errors import InputError
from titles.io.readers import FORMATS
from titles.io.source_file import RawFile


@contextmanager
def given(path: Path | None, ending: str | None, read: Callable[[Path], RawFile]) -> Iterator[RawFile | None]:
    """What `read` makes of the file, or of the standard input, which is None: there without an `ending` None, too.

    Raises InputError where a file has an `ending` besides that of its name.
    """
    if path and ending:
        raise InputError("--format is for the standard input; of a file the name says it")
    if path:
        yield read(path)
    elif ending:
        with stored(sys.stdin.buffer, ending) as temporary:
            yield read(temporary)
    else:
        yield None


@contextmanager
def stored(stream: IO[bytes], ending: str) -> Iterator[Path]:
    """The stream, stored whole in a temporary file of that ending (`csv`, `jsonl.gz`) while the block runs.

    Raises InputError for an unknown ending, or where the disk of temporary files is full. An InputError of the block
    names the standard input and not the temporary file.
    """
    if ending.partition(".")[0] not in FORMATS:
        raise InputError(f"--format is {ending!r}; known are {', '.join(FORMATS)}, also compressed, such as csv.gz")
    with TemporaryDirectory(prefix="titles-") as folder:
        path = Path(folder) / f"input.{ending}"
        try:
            with room_at(path), path.open("wb") as file:
                shutil.copyfileobj(stream, file)
            yield path
        except InputError as error:
            raise InputError(str(error).replace(str(path), "standard input")) from None
