"""Raw rows as one Parquet file that any engine can scan, a row of it for each row that was read.

file, split, line      where the row stands
id, title              as written, null where absent
category, language,    normalized as `normalize_name` does, null where absent or nothing is left
label_quality
fault                  why it could not be read, else null
unescaped              the title with the characters of its HTML references, null where it has none
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
# More rows at fault than these, and than half of those read, are no matter of single records.
MAX_FAULTS = 10


def write_raw_table(files: list[SourceFile], path: Path) -> int:
    """Writes the rows of `files` to `path` and returns how many there are.

    Raises InputError where most rows of a file cannot be read.
    """
    num_rows = 0
    with pq.ParquetWriter(path, SCHEMA, compression="snappy", use_dictionary=DICTIONARY_COLUMNS) as writer:
        for file in files:
            faults = _FaultCounter(file)
            renamed = _RenamedCategoryCounter()
            for batch in prefetch(file.batches()):
                faults.add(batch)
                place = [pa.repeat(pa.scalar(text), len(batch)) for text in (file.path.name, file.split)]
                columns = dict(zip(records.SCHEMA.names, batch.columns, strict=True))
                normalized = {column: normalize_names(columns[column]) for column in NORMALIZED_COLUMNS}
                renamed.add(columns["category"], normalized["category"])
                content = [*(columns | normalized).values(), _titles_without_references(columns["title"])]
                writer.write_batch(pa.record_batch([*place, *content], SCHEMA))
                num_rows += len(batch)
            renamed.report(file)
    return num_rows


def _titles_without_references(titles: pa.StringArray) -> pa.StringArray:
    """The titles that have references of HTML, without these; null for all others."""
    plain = unescape_titles(titles)
    if plain is titles:
        return pa.nulls(len(titles), pa.string())
    return pc.if_else(pc.equal(plain, titles), pa.scalar(None, pa.string()), plain)


class _FaultCounter:
    """Counts the rows of a file that cannot be read."""

    def __init__(self, file: SourceFile) -> None:
        self.file, self.num_rows, self.num_faults, self.first_fault = file, 0, 0, ""

    def add(self, batch: pa.RecordBatch) -> None:
        """Raises InputError where most rows so far cannot be read."""
        is_faulty = pc.is_valid(batch["fault"])
        if not self.num_faults and (place := pc.index(is_faulty, True).as_py()) >= 0:
            self.first_fault = f"line {batch['line'][place]}: {batch['fault'][place]}"
        self.num_rows += len(batch)
        self.num_faults += is_faulty.true_count
        if self.num_faults > max(MAX_FAULTS, self.num_rows / 2):
            raise InputError(
                f"{self.file.path}: {self.num_faults:,} of the first {self.num_rows:,} rows cannot be read, "
                f"beginning with {self.first_fault}; mend the file"
            )


class _RenamedCategoryCounter:
    """Counts the rows of a file whose category normalization changed, and keeps an example."""

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
