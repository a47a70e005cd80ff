"""The rows of CSV files: a line that is a row by itself with many others at once, all else as Python's reader has it.

Python's strict reader tells what is wrong with a row, but takes ten times as long as Arrow's. So Arrow gets only lines
of which all readers of CSV make the same.
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow.csv import ConvertOptions, ReadOptions, read_csv

from titles.ahead import ahead
from titles.errors import InputError
from titles.rows import COLUMNS, DAMAGES, NO_VALUES, Row, batch_of, batch_of_columns, by_line

PIECE_BYTES, BLOCK_BYTES = 1 << 18, 1 << 23
SWALLOWED = "line breaks and commas in a field: a quote that should have closed before other rows"
FIELD = r'(?:[^",\r\n]*|"(?:[^"\r\n]|"")*")'
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
LINE_FEED, CARRIAGE_RETURN = b"\n\r"


def csv_columns(stream: IO[bytes], path: Path) -> list[str]:
    return _header(stream, path)[0]


def csv_batches(stream: IO[bytes], path: Path) -> Iterator[pa.RecordBatch]:
    """The rows below the header, in their order. Raises InputError where a quote does not close."""
    blocks = ahead(_blocks(stream))
    head = next(blocks)
    header, read = _header(io.BytesIO(head[0]), path)
    reader = _Reader(path, header)
    unread, first = b"", 1
    for block, last in chain([head], blocks):
        lines = _Lines.of(unread + block, first, last)
        batch, read = reader.read(lines, read, last)
        yield batch
        unread, first = lines.text[lines.starts[read] :], first + read
        read = 0


def _header(stream: IO[bytes], path: Path) -> tuple[list[str], int]:
    """The names of the columns, and how many lines they take."""
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    reader = csv.reader(text, strict=True)
    try:
        return [column.strip() for column in next(reader, [])], reader.line_num
    except csv.Error as error:
        raise InputError(f"{path}, line 1: the header is not CSV ({error}); mend it") from None


def _blocks(stream: IO[bytes]) -> Iterator[tuple[bytes, bool]]:
    """The bytes of the stream, some MB at a time, and whether they are the last. What stands before a damage comes."""
    pieces: list[bytes] = []
    try:
        while piece := stream.read(PIECE_BYTES):
            pieces.append(piece)
            if len(pieces) * PIECE_BYTES >= BLOCK_BYTES:
                yield b"".join(pieces), False
                pieces = []
    except DAMAGES:
        yield b"".join(pieces), False
        raise
    yield b"".join(pieces), True


@dataclass(frozen=True)
class _Lines:
    """Lines with their ends, as Python's text files tell them apart; `starts` is [lines + 1], `first` a number."""

    text: bytes
    starts: NDArray[np.int64]
    first: int

    def __len__(self) -> int:
        return len(self.starts) - 1

    @classmethod
    def of(cls, text: bytes, first: int, last: bool) -> "_Lines":
        """The whole lines of `text`, and the rest of it too where nothing follows."""
        letters = np.frombuffer(text, np.uint8)
        ends = letters == LINE_FEED
        if b"\r" in text:
            ends[:-1] |= (letters[:-1] == CARRIAGE_RETURN) & ~ends[1:]
        if last and len(text):
            ends[-1] = True
        return cls(text, np.concatenate([[0], np.flatnonzero(ends) + 1]), first)

    def texts(self, place: int) -> Iterator[str]:
        """The lines from `place` on."""
        for start, end in pairwise(self.starts[place:]):
            yield self.text[start:end].decode(errors="surrogateescape")

    def array(self) -> pa.Array:
        return pa.Array.from_buffers(
            pa.large_binary(), len(self), [None, pa.py_buffer(self.starts), pa.py_buffer(self.text)]
        )


class _Reader:
    """Reads lines as rows with the columns of `header`."""

    def __init__(self, path: Path, header: list[str]) -> None:
        self.path, self.num_fields = path, len(header)
        self.places = [header.index(column) if column in header else None for column in COLUMNS]
        self.ordinary = rf"\A{','.join([FIELD] * len(header))}(?:\r?\n)?\z"

    def read(self, lines: _Lines, place: int, last: bool) -> tuple[pa.RecordBatch, int]:
        """The rows from the line at `place` on, and the place after them: a row may end in lines still to come."""
        ordinary = self._ordinary(lines)
        ordinary[:place] = False
        rows: list[Row] = []
        for odd in place + np.flatnonzero(~ordinary[place:]):
            if odd < place:
                continue
            found, place = self._row(lines, int(odd), last)
            ordinary[odd:place] = False
            if place == odd:
                ordinary[odd:] = False
                break
            rows.extend(found)
        else:
            place = len(lines)
        return by_line([self._batch(lines, ordinary), batch_of(rows)]), place

    def _ordinary(self, lines: _Lines) -> NDArray[np.bool]:
        """Which lines are a row whatever reads them."""
        array = lines.array()
        short = pc.less_equal(pc.binary_length(array), csv.field_size_limit())
        # Arrow drops the mark where it begins what it reads.
        unmarked = pc.invert(pc.starts_with(array, BYTE_ORDER_MARK))
        alone = pc.match_substring_regex(array, self.ordinary)
        return np.array(pc.and_(pc.and_(short, unmarked), alone))

    def _batch(self, lines: _Lines, ordinary: NDArray[np.bool]) -> pa.RecordBatch:
        chosen = lines.array().filter(pa.array(ordinary))
        numbers = pa.array(lines.first + np.flatnonzero(ordinary))
        if not len(chosen):
            return batch_of([])
        start, end = np.frombuffer(chosen.buffers()[1], np.int64)[[0, len(chosen)]]
        names = [str(place) for place in range(self.num_fields)]
        table = read_csv(
            pa.BufferReader(chosen.buffers()[2].slice(start, end - start)),
            ReadOptions(column_names=names),
            convert_options=ConvertOptions(
                include_columns=[str(place) for place in self.places if place is not None],
                column_types=dict.fromkeys(names, pa.binary()),
                check_utf8=False,
            ),
        ).combine_chunks()
        columns = [None if place is None else table[str(place)].chunk(0) for place in self.places]
        return batch_of_columns(numbers, columns)

    def _row(self, lines: _Lines, place: int, last: bool) -> tuple[list[Row], int]:
        """The row that begins at `place`, if one does, and the place after it: `place` if it does not end here."""
        line = lines.first + place
        reader = csv.reader(lines.texts(place), strict=True)
        try:
            fields = next(reader)
        except csv.Error as error:
            open_to_the_end = "end of data" in str(error)
            if open_to_the_end and not last:
                return [], place
            # A record that swallowed further lines took other rows with it, so this is no matter of one row.
            if open_to_the_end or reader.line_num > 1:
                raise InputError(
                    f"{self.path}, line {line}: a quote opens there and does not close ({error})"
                ) from None
            return [Row(line, NO_VALUES, f"not CSV: {error}")], place + 1
        after = place + reader.line_num
        if reader.line_num > 1 and len(fields) != self.num_fields:
            raise InputError(f"{self.path}, line {line}: a quote opens there and closes in another row; mend it")
        if len(fields) == self.num_fields:
            values = tuple(None if column is None else fields[column] for column in self.places)
            swallowed = reader.line_num > 1 and any("," in field.partition("\n")[2] for field in fields)
            return [Row(line, values, SWALLOWED if swallowed else None)], after
        fault = f"{len(fields)} fields where the header has {self.num_fields}"
        return [Row(line, NO_VALUES, fault)] if fields else [], after
