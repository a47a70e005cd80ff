"""The raw table: all rows of the raw files in one Parquet file that any engine can scan.

file, split, line      the origin of the row
id, title              as written, null if absent
category, language,    normalized by `normalize_names`, null if absent or empty
label_quality
fault                  why the row could not be read, else null
unescaped              the title with its HTML character references resolved, null if it has none
"""

import logging
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from titles.core.errors import InputError, escape_unprintable
from titles.core.prefetch import prefetch
from titles.io import records
from titles.io.source_file import SourceFile
from titles.text.category_names import changed_names, normalize_names
from titles.text.html_entities import unescape_titles

log = logging.getLogger(__name__)

NORMALIZED_COLUMNS = ("category", "language", "label_quality")
SOURCE_FIELDS = [pa.field("file", pa.string()), pa.field("split", pa.string())]
SCHEMA = pa.schema([*SOURCE_FIELDS, *records.SCHEMA, pa.field("unescaped", pa.string())])
DICTIONARY_COLUMNS = ["file", "split", *NORMALIZED_COLUMNS, "fault"]
# A file with more faulty rows than this, and more than half of those read, is rejected.
MAX_FAULTS = 10


def write_raw_table(files: list[SourceFile], path: Path) -> int:
    """Write the rows of `files` to `path`; return the number of rows.

    Raise InputError if most rows of a file cannot be read.
    """
    num_rows = 0
    with pq.ParquetWriter(path, SCHEMA, compression="snappy", use_dictionary=DICTIONARY_COLUMNS) as writer:
        for file in files:
            fault_counter = _FaultCounter(file)
            category_counter = _RenamedCategoryCounter()
            for batch in prefetch(file.batches()):
                fault_counter.add(batch)
                origin = [pa.repeat(pa.scalar(text), len(batch)) for text in (file.path.name, file.split)]
                columns = dict(zip(records.SCHEMA.names, batch.columns, strict=True))
                normalized = {column: normalize_names(columns[column]) for column in NORMALIZED_COLUMNS}
                category_counter.add(columns["category"], normalized["category"])
                content = [*(columns | normalized).values(), _unescaped_titles(columns["title"])]
                writer.write_batch(pa.record_batch([*origin, *content], SCHEMA))
                num_rows += len(batch)
            category_counter.report(file)
    return num_rows


def _unescaped_titles(titles: pa.StringArray) -> pa.StringArray:
    """Resolve HTML character references; null for titles that have none."""
    unescaped = unescape_titles(titles)
    if unescaped is titles:
        return pa.nulls(len(titles), pa.string())
    return pc.if_else(pc.equal(unescaped, titles), pa.scalar(None, pa.string()), unescaped)


class _FaultCounter:
    """Count the rows of a file that cannot be read."""

    def __init__(self, file: SourceFile) -> None:
        self.file, self.num_rows, self.num_faults, self.first_fault = file, 0, 0, ""

    def add(self, batch: pa.RecordBatch) -> None:
        """Raise InputError if most rows so far cannot be read."""
        is_faulty = pc.is_valid(batch["fault"])
        if not self.num_faults and (index := pc.index(is_faulty, True).as_py()) >= 0:
            self.first_fault = f"line {batch['line'][index]}: {batch['fault'][index]}"
        self.num_rows += len(batch)
        self.num_faults += is_faulty.true_count
        if self.num_faults > max(MAX_FAULTS, self.num_rows / 2):
            raise InputError(
                f"{self.file.path}: {self.num_faults:,} of the first {self.num_rows:,} rows cannot be read, "
                f"beginning with {self.first_fault}; correct the file"
            )


class _RenamedCategoryCounter:
    """Count the rows of a file whose category was changed by normalization, and remember an example."""

    def __init__(self) -> None:
        self.num_rows = 0
        self.example: tuple[str, str] | None = None

    def add(self, before: pa.StringArray, after: pa.StringArray) -> None:
        num_rows, pairs = changed_names(before, after)
        self.num_rows += num_rows
        self.example = self.example or next(iter(sorted(pairs.items())), None)

    def report(self, file: SourceFile) -> None:
        if self.example:
            before, after = self.example
            log.warning(
                "%s: %s rows have a category with spaces around it, invisible characters or decomposed letters; "
                "%s is read as %s",
                file.path, f"{self.num_rows:,}", ascii(before), escape_unprintable(after),
            )  # fmt: skip
