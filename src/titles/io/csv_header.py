"""Parse the header of a CSV file: delimiter, column names, number of lines."""

import csv
import io
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from titles.core.errors import InputError
from titles.io.columns import normalize_column_name

DELIMITERS = (",", ";", "\t")
# Excel writes this line above the header and reads the delimiter from it.
DECLARED_DELIMITER = re.compile(r'\s*"?sep=([^\w\s"]|\t)"?\r?\n', re.ASCII | re.IGNORECASE)


class Header(NamedTuple):
    """Column names without surrounding spaces, the delimiter, and the number of lines including blank ones above."""

    columns: list[str]
    delimiter: str
    num_lines: int


def read_header(
    head: bytes, path: Path, expected_columns: Collection[str], delimiters: Sequence[str] = DELIMITERS
) -> Header:
    """Parse the header of the file that starts with the bytes `head`.

    The delimiter is the one declared by a first line such as `sep=;`. Without such a line it is the one of
    `delimiters` that yields the most `expected_columns`. Ties go to the one that yields the most columns, then to the
    first. Raise InputError if a quote does not close.
    """
    text, skipped_lines = head.decode("utf-8-sig", errors="surrogateescape"), 0
    if declared := DECLARED_DELIMITER.match(text):
        delimiters, skipped_lines = declared[1], declared[0].count("\n")
        text = text[declared.end() :]
    headers, fault = [], ""
    for delimiter in delimiters:
        try:
            headers.append(_parse_header(text, delimiter, skipped_lines))
        except csv.Error as error:
            fault = fault or str(error)
    keys = set(map(normalize_column_name, expected_columns))
    num_found = [len(keys & set(map(normalize_column_name, header.columns))) for header in headers]
    if fault and not any(num_found):
        raise InputError(f"{path}, line {skipped_lines + 1}: the header is not CSV ({fault}); correct it")
    return max(zip(num_found, headers, strict=True), key=lambda pair: (pair[0], len(pair[1].columns)))[1]


def _parse_header(text: str, delimiter: str, skipped_lines: int) -> Header:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    for fields in reader:
        if any(field.strip() for field in fields):
            return Header([field.strip() for field in fields], delimiter, skipped_lines + reader.line_num)
    return Header([], delimiter, skipped_lines + reader.line_num)
