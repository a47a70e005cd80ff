"""The reader of pretrained word vectors in the text format of word2vec.

The first line is `count dimension`. Every other line is `word v1 … vd`.
"""

import bz2
import gzip
import logging
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from titles.core.errors import InputError
from titles.core.progress import Progress
from titles.text.normalization import clean

# A special token of the word2vec tool, which `clean` would turn into the word `s`.
END_OF_SENTENCE = "</s>"

log = logging.getLogger(__name__)

OPENERS: dict[str, Callable[..., IO[Any]]] = {".gz": gzip.open, ".bz2": bz2.open}


def check_word_vectors(path: Path, dimension: int) -> None:
    """Raise InputError if the file is missing, or its first line is not a header with that dimension."""
    with _open_text(path) as lines:
        _check_header(path, next(lines, ""), dimension)


def read_word_vectors(path: Path, words: list[str], dimension: int) -> NDArray[np.float32]:
    """Read the vectors of `words`, float32 [words, dimension]. A word that the file lacks has a row of NaN.

    The words of the file are cleaned as titles are. If several become the same word, the first one counts, because
    such files are sorted by descending frequency. Raise InputError with the number of a line that is malformed.
    """
    word_to_id = {word: word_id for word_id, word in enumerate(words)}
    vectors = np.full((len(words), dimension), np.nan, np.float32)
    with _open_text(path) as lines:
        count = _check_header(path, next(lines, ""), dimension)
        line_number = 1
        with Progress(count, "words", f"reading {path.name}") as bar:
            for line_number, line in enumerate(lines, start=2):
                bar.update(1)
                word, _, values = line.rstrip().partition(" ")
                word_id = None if word == END_OF_SENTENCE else word_to_id.pop(clean(word), None)
                if word_id is not None:
                    vectors[word_id] = _parse_vector(path, line_number, values, dimension)
    if line_number != count + 1:
        log.warning("%s: its first line gives %d words, but it has %d", path, count, line_number - 1)
    return vectors


@contextmanager
def _open_text(path: Path) -> Iterator[IO[str]]:
    if not path.is_file():
        raise InputError(f"embed.word_vectors: {path} is not there; put the file in {path.parent}, or set none")
    try:
        with OPENERS.get(path.suffix, open)(path, "rt", encoding="utf-8", errors="replace") as lines:
            yield lines
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: damaged or cut short ({error}); fetch it again") from None


def _check_header(path: Path, header: str, dimension: int) -> int:
    try:
        count, file_dimension = map(int, header.split())
    except ValueError:
        raise InputError(
            f"{path}, line 1: {header[:40]!r} is not `count dimension`; is this the word2vec text format?"
        ) from None
    if file_dimension != dimension:
        raise InputError(
            f"{path}: its vectors have {file_dimension} numbers; set embed.dimension to that instead of {dimension}"
        )
    return count


def _parse_vector(path: Path, line_number: int, values: str, dimension: int) -> NDArray[np.float32]:
    try:
        vector = np.array(values.split(" "), np.float32)
    except ValueError:
        vector = np.empty(0, np.float32)
    if len(vector) != dimension:
        raise InputError(f"{path}, line {line_number}: not {dimension} numbers after the word")
    return vector
