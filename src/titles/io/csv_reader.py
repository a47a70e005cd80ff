"""The rows of CSV files: a line that is a row by itself with many others at once, all else as Python's reader has it.

Python's strict reader tells what is wrong with a row, but takes ten times as long as Arrow's. So Arrow gets only lines
of which all readers of CSV make the same.
"""

import csv
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow.csv import ConvertOptions, ParseOptions, ReadOptions, read_csv

from titles.core.errors import InputError
from titles.core.prefetch import prefetch
from titles.io.csv_header import DELIMITERS, Header, read_header
from titles.io.csv_lines import Lines, read_blocks
from titles.io.file_types import SAMPLE_BYTES, first_bytes
from titles.io.records import NO_VALUES, Row, batch_columns, columns_to_batch, concat_by_line, rows_to_batch

MISSING_QUOTE = "other rows within a field: a quote that should have closed before them"
REPEATED_HEADER = "the header, repeated"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def csv_columns(
    stream: IO[bytes], path: Path, expected_columns: Collection[str], delimiters: Sequence[str] = DELIMITERS
) -> list[str]:
    return read_header(first_bytes(stream), path, expected_columns, delimiters).columns


def csv_batches(
    stream: IO[bytes], path: Path, names: Mapping[str, str], delimiters: Sequence[str] = DELIMITERS
) -> Iterator[pa.RecordBatch]:
    """The rows below the header, in their order. Raises InputError where a quote does not close."""
    blocks = prefetch(read_blocks(stream))
    head = next(blocks)
    header = read_header(head[0][:SAMPLE_BYTES], path, names.values(), delimiters)
    reader = _Reader(path, header, names)
    unread, first, read = b"", 1, header.num_lines
    for block, last in chain([head], blocks):
        lines = Lines.from_bytes(unread + block, first, last)
        batch, read = reader.read(lines, read, last)
        yield _mark_repeated_headers(batch, names)
        unread, first = lines.text[lines.starts[read] :], first + read
        read = 0


def _mark_repeated_headers(batch: pa.RecordBatch, names: Mapping[str, str]) -> pa.RecordBatch:
    """The batch, in which rows that only repeat the header are at fault: files joined with `cat` have such rows."""
    begun, ended = (test(batch["title"], names["title"]) for test in (pc.starts_with, pc.ends_with))
    is_header = pc.or_(begun, ended).fill_null(False)
    for column, name in names.items():
        # Nearly always the case, and trimming takes time.
        if not is_header.true_count:
            return batch
        # In a file that was appended a byte order mark may stand before the first name.
        is_header = pc.and_(is_header, pc.equal(pc.utf8_trim(batch[column], " \ufeff"), name).fill_null(False))
    place = batch.schema.get_field_index("fault")
    return batch.set_column(place, batch.schema[place], pc.if_else(is_header, REPEATED_HEADER, batch["fault"]))


class _Reader:
    """Reads lines as rows with the columns of `header`."""

    def __init__(self, path: Path, header: Header, names: Mapping[str, str]) -> None:
        self.path, self.delimiter, self.num_fields = path, header.delimiter, len(header.columns)
        self.columns = batch_columns(names)
        self.column_indices = [
            header.columns.index(names[column]) if column in names else None for column in self.columns
        ]
        separator = re.escape(header.delimiter)
        # A blank line is a row of no reader, where there is one column too.
        bare = rf'[^"{separator}\r\n]' + ("+" if self.num_fields == 1 else "*")
        field = rf'(?:{bare}|"(?:[^"\r\n]|"")*")'
        self.single_line_row = rf"\A{separator.join([field] * self.num_fields)}(?:\r?\n)?\z"

    def read(self, lines: Lines, index: int, is_last: bool) -> tuple[pa.RecordBatch, int]:
        """The rows from the line at `place` on, and the place after them: a row may end in lines still to come."""
        ordinary = self._single_line_rows(lines)
        ordinary[:index] = False
        rows: list[Row] = []
        for odd in index + np.flatnonzero(~ordinary[index:]):
            if odd < index:
                continue
            found, index = self._parse_with_python(lines, int(odd), is_last)
            ordinary[odd:index] = False
            if index == odd:
                ordinary[odd:] = False
                break
            rows.extend(found)
        else:
            index = len(lines)
        return concat_by_line([self._parse_with_arrow(lines, ordinary), rows_to_batch(rows, self.columns)]), index

    def _single_line_rows(self, lines: Lines) -> NDArray[np.bool]:
        """Which lines are a row whatever reads them."""
        array = lines.to_arrow()
        short = pc.less_equal(pc.binary_length(array), csv.field_size_limit())
        # Arrow drops the mark where it begins what it reads.
        unmarked = pc.invert(pc.starts_with(array, BYTE_ORDER_MARK))
        alone = pc.match_substring_regex(array, self.single_line_row)
        return np.array(pc.and_(pc.and_(short, unmarked), alone))

    def _parse_with_arrow(self, lines: Lines, is_row: NDArray[np.bool]) -> pa.RecordBatch:
        chosen = lines.to_arrow().filter(pa.array(is_row))
        numbers = pa.array(lines.first_line_number + np.flatnonzero(is_row))
        if not len(chosen):
            return rows_to_batch([], self.columns)
        start, end = np.frombuffer(chosen.buffers()[1], np.int64)[[0, len(chosen)]]
        names = [str(place) for place in range(self.num_fields)]
        table = read_csv(
            pa.BufferReader(chosen.buffers()[2].slice(start, end - start)),
            ReadOptions(column_names=names),
            ParseOptions(delimiter=self.delimiter),
            convert_options=ConvertOptions(
                include_columns=[str(place) for place in self.column_indices if place is not None],
                column_types=dict.fromkeys(names, pa.binary()),
                check_utf8=False,
            ),
        ).combine_chunks()
        values = [None if place is None else table[str(place)].chunk(0) for place in self.column_indices]
        return columns_to_batch(numbers, values, self.columns)

    def _parse_with_python(self, lines: Lines, index: int, is_last: bool) -> tuple[list[Row], int]:
        """The row that begins at `place`, if one does, and the place after it: `place` if it does not end here."""
        line = lines.first_line_number + index
        reader = csv.reader(lines.decode_from(index), delimiter=self.delimiter, strict=True)
        try:
            fields = next(reader)
        except csv.Error as error:
            open_to_the_end = "end of data" in str(error)
            if open_to_the_end and not is_last:
                return [], index
            # A record that swallowed further lines took other rows with it, so this is no matter of one row.
            if open_to_the_end or reader.line_num > 1:
                raise InputError(
                    f"{self.path}, line {line}: a quote opens there and does not close ({error})"
                ) from None
            return [Row(line, NO_VALUES, f"not CSV: {error}")], index + 1
        after = index + reader.line_num
        if reader.line_num > 1 and len(fields) != self.num_fields:
            raise InputError(f"{self.path}, line {line}: a quote opens there and closes in another row; mend it")
        if len(fields) == self.num_fields:
            values = tuple(None if column is None else fields[column] for column in self.column_indices)
            swallowed = reader.line_num > 1 and self._contains_rows(
                list(islice(lines.decode_from(index), reader.line_num))
            )
            return [Row(line, values, MISSING_QUOTE if swallowed else None)], after
        fault = f"{len(fields)} fields where the header has {self.num_fields}"
        return [Row(line, NO_VALUES, fault)] if fields else [], after

    def _contains_rows(self, lines: list[str]) -> bool:
        """Whether the lines of one record are rows of their own that a quote too many made one.

        A line in the midst is, if it has no quote and a row's fields. The first and the last are, if both have a
        row's fields when their quotes count as letters.
        """
        first, *middle, last = lines
        in_the_midst = any('"' not in line and self._has_row_fields(line) for line in middle)
        return in_the_midst or (self._has_row_fields(first) and self._has_row_fields(last))

    def _has_row_fields(self, line: str) -> bool:
        """Whether the line, cut at every delimiter, has a row's fields; a comma that a space follows is prose."""
        fields = line.split(self.delimiter)
        return len(fields) == self.num_fields > 1 and not any(field.startswith(" ") for field in fields[1:])
