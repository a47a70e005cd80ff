"""The header of a CSV file: how its fields are separated, what its columns are called, how many lines it takes."""

import csv
import io
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from titles.core.errors import InputError
from titles.io.columns import normalize_column_name

DELIMITERS = (",", ";", "\t")
# The line that Excel reads the separator from, and writes.
DECLARED_DELIMITER = re.compile(r'\s*"?sep=([^\w\s"]|\t)"?\r?\n', re.ASCII | re.IGNORECASE)


class Header(NamedTuple):
    """The names of the columns are without the spaces around them; `num_lines` counts blank lines above them too."""

    columns: list[str]
    delimiter: str
    num_lines: int


def read_header(
    head: bytes, path: Path, expected_columns: Collection[str], delimiters: Sequence[str] = DELIMITERS
) -> Header:
    """The header of the file that begins with the bytes `head`.

    The delimiter is the one that a first line such as `sep=;` declares. Without such a line it is that of
    `delimiters` which finds most of the `wanted` columns, then the most columns, then the first.
    Raises InputError where a quote does not close.
    """
    text, above = head.decode("utf-8-sig", errors="surrogateescape"), 0
    if declared := DECLARED_DELIMITER.match(text):
        delimiters, above = declared[1], declared[0].count("\n")
        text = text[declared.end() :]
    headers, fault = [], ""
    for delimiter in delimiters:
        try:
            headers.append(_parse_header(text, delimiter, above))
        except csv.Error as error:
            fault = fault or str(error)
    keys = set(map(normalize_column_name, expected_columns))
    found = [len(keys & set(map(normalize_column_name, header.columns))) for header in headers]
    if fault and not any(found):
        raise InputError(f"{path}, line {above + 1}: the header is not CSV ({fault}); mend it")
    return max(zip(found, headers, strict=True), key=lambda pair: (pair[0], len(pair[1].columns)))[1]


def _parse_header(text: str, delimiter: str, skipped_lines: int) -> Header:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    for fields in reader:
        if any(field.strip() for field in fields):
            return Header([field.strip() for field in fields], delimiter, skipped_lines + reader.line_num)
    return Header([], delimiter, skipped_lines + reader.line_num)
