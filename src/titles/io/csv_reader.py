"""Read CSV files: unambiguous single-line rows with Arrow, all other rows with Python's csv module.

Python's strict reader reports what is wrong with a row, but takes ten times as long as Arrow's. So Arrow gets only the
lines that every CSV reader parses in the same way.
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
    """Return the column names of a CSV file. `expected_columns` help to detect the delimiter."""
    return read_header(first_bytes(stream), path, expected_columns, delimiters).columns


def csv_batches(
    stream: IO[bytes], path: Path, names: Mapping[str, str], delimiters: Sequence[str] = DELIMITERS
) -> Iterator[pa.RecordBatch]:
    """Yield the rows below the header, in their order. Raise InputError if a quote does not close."""
    blocks = prefetch(read_blocks(stream))
    first_block = next(blocks)
    header = read_header(first_block[0][:SAMPLE_BYTES], path, names.values(), delimiters)
    reader = _Reader(path, header, names)
    unread, line_number, index = b"", 1, header.num_lines
    for block, is_last in chain([first_block], blocks):
        lines = Lines.from_bytes(unread + block, line_number, is_last)
        batch, index = reader.read(lines, index, is_last)
        yield _mark_repeated_headers(batch, names)
        unread, line_number = lines.text[lines.starts[index] :], line_number + index
        index = 0


def _mark_repeated_headers(batch: pa.RecordBatch, names: Mapping[str, str]) -> pa.RecordBatch:
    """Set the fault of rows that repeat the header, as in files joined with `cat`."""
    starts, ends = (test(batch["title"], names["title"]) for test in (pc.starts_with, pc.ends_with))
    is_header = pc.or_(starts, ends).fill_null(False)
    for column, name in names.items():
        # Skips the costly trimming in nearly all batches.
        if not is_header.true_count:
            return batch
        # An appended file may have a byte order mark before its first column name.
        is_header = pc.and_(is_header, pc.equal(pc.utf8_trim(batch[column], " \ufeff"), name).fill_null(False))
    index = batch.schema.get_field_index("fault")
    return batch.set_column(index, batch.schema[index], pc.if_else(is_header, REPEATED_HEADER, batch["fault"]))


class _Reader:
    """Parse lines into rows with the columns of `header`."""

    def __init__(self, path: Path, header: Header, names: Mapping[str, str]) -> None:
        self.path, self.delimiter, self.num_fields = path, header.delimiter, len(header.columns)
        self.columns = batch_columns(names)
        self.column_indices = [
            header.columns.index(names[column]) if column in names else None for column in self.columns
        ]
        separator = re.escape(header.delimiter)
        # No reader takes a blank line for a row, not even in a file of one column.
        unquoted = rf'[^"{separator}\r\n]' + ("+" if self.num_fields == 1 else "*")
        field = rf'(?:{unquoted}|"(?:[^"\r\n]|"")*")'
        self.single_line_row = rf"\A{separator.join([field] * self.num_fields)}(?:\r?\n)?\z"

    def read(self, lines: Lines, index: int, is_last: bool) -> tuple[pa.RecordBatch, int]:
        """Return the rows from the line at `index` on, and the index of the first line that is not read.

        The last row is left unread if it may continue in the next block.
        """
        is_single_line_row = self._single_line_rows(lines)
        is_single_line_row[:index] = False
        rows: list[Row] = []
        for start in index + np.flatnonzero(~is_single_line_row[index:]):
            if start < index:
                continue
            parsed, index = self._parse_with_python(lines, int(start), is_last)
            is_single_line_row[start:index] = False
            if index == start:
                is_single_line_row[start:] = False
                break
            rows.extend(parsed)
        else:
            index = len(lines)
        by_arrow = self._parse_with_arrow(lines, is_single_line_row)
        return concat_by_line([by_arrow, rows_to_batch(rows, self.columns)]), index

    def _single_line_rows(self, lines: Lines) -> NDArray[np.bool]:
        """Whether each line is a row for every CSV reader, bool [lines]."""
        array = lines.to_arrow()
        is_short = pc.less_equal(pc.binary_length(array), csv.field_size_limit())
        # Arrow drops a byte order mark at the start of its input, and raises for an input that is shorter than one.
        is_unmarked = pc.invert(pc.starts_with(array, BYTE_ORDER_MARK[:1]))
        is_row = pc.match_substring_regex(array, self.single_line_row)
        return np.array(pc.and_(pc.and_(is_short, is_unmarked), is_row))

    def _parse_with_arrow(self, lines: Lines, is_row: NDArray[np.bool]) -> pa.RecordBatch:
        selected = lines.to_arrow().filter(pa.array(is_row))
        line_numbers = pa.array(lines.first_line_number + np.flatnonzero(is_row))
        if not len(selected):
            return rows_to_batch([], self.columns)
        start, end = np.frombuffer(selected.buffers()[1], np.int64)[[0, len(selected)]]
        names = [str(index) for index in range(self.num_fields)]
        table = read_csv(
            pa.BufferReader(selected.buffers()[2].slice(start, end - start)),
            ReadOptions(column_names=names),
            ParseOptions(delimiter=self.delimiter),
            convert_options=ConvertOptions(
                include_columns=[str(index) for index in self.column_indices if index is not None],
                column_types=dict.fromkeys(names, pa.binary()),
                check_utf8=False,
            ),
        ).combine_chunks()
        values = [None if index is None else table[str(index)].chunk(0) for index in self.column_indices]
        return columns_to_batch(line_numbers, values, self.columns)

    def _parse_with_python(self, lines: Lines, index: int, is_last: bool) -> tuple[list[Row], int]:
        """Return the row that starts at the line `index`, and the index of the line after it.

        No row starts at a blank line. The returned index is `index` itself if the row continues in the next block.
        """
        line = lines.first_line_number + index
        reader = csv.reader(lines.decode_from(index), delimiter=self.delimiter, strict=True)
        try:
            fields = next(reader)
        except csv.Error as error:
            is_unterminated = "end of data" in str(error)
            if is_unterminated and not is_last:
                return [], index
            # A record over several lines contains other rows, so the error affects more than one row.
            if is_unterminated or reader.line_num > 1:
                raise InputError(
                    f"{self.path}, line {line}: a quote opens there and does not close ({error})"
                ) from None
            return [Row(line, NO_VALUES, f"not CSV: {error}")], index + 1
        after = index + reader.line_num
        if reader.line_num > 1 and len(fields) != self.num_fields:
            raise InputError(f"{self.path}, line {line}: a quote opens there and closes in another row; correct it")
        if len(fields) == self.num_fields:
            values = tuple(None if column is None else fields[column] for column in self.column_indices)
            contains_rows = reader.line_num > 1 and self._contains_rows(
                list(islice(lines.decode_from(index), reader.line_num))
            )
            return [Row(line, values, MISSING_QUOTE if contains_rows else None)], after
        fault = f"{len(fields)} fields where the header has {self.num_fields}"
        return [Row(line, NO_VALUES, fault)] if fields else [], after

    def _contains_rows(self, lines: list[str]) -> bool:
        """Whether the lines of one record are separate rows that a stray quote joined.

        A line in the middle is a row if it has no quote and the fields of a row. The first and the last line are rows
        if both have the fields of a row when quotes count as ordinary characters.
        """
        first, *middle, last = lines
        has_inner_row = any('"' not in line and self._has_row_fields(line) for line in middle)
        return has_inner_row or (self._has_row_fields(first) and self._has_row_fields(last))

    def _has_row_fields(self, line: str) -> bool:
        """Whether the line, split at every delimiter, has as many fields as a row; none may start with a space."""
        fields = line.split(self.delimiter)
        return len(fields) == self.num_fields > 1 and not any(field.startswith(" ") for field in fields[1:])
