"""Files of titles to files of categories, of any length in the same little memory.

A file of categories has a row for each category of a title, the best first:

line        where the title stands in its file
id          if the file of titles has it
title       as written
category    empty where the row could not be read, or no category has the least score
score
"""

import io
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from titles.ahead import ahead
from titles.classifier import Classifier
from titles.errors import InputError
from titles.memory import keep_freed_memory
from titles.raw_file import RawFile
from titles.rows import NO_VALUES, Row, batch_of
from titles.table_files import written
from titles.threads import map_threads

log = logging.getLogger(__name__)

# A piece, and the table of its answers.
Answered = tuple[pa.RecordBatch, pa.Table]
Mapped = Callable[[Callable[[pa.RecordBatch], Answered], Iterator[pa.RecordBatch]], Iterator[Answered]]

# Rows of a file of categories, a title's all together; small enough for a dozen pieces to be under way at once.
PIECE_ROWS = 16_384
# What is taken at once of a stream, and the longest title there, as in a file.
STREAM_BYTES, MOST_BYTES = 1 << 16, 1 << 17
SHOWN_FAULTS = 20


def lines_of(stream: io.BufferedReader) -> Iterator[pa.RecordBatch]:
    """A title a line, as rows; those that are there already together, so that no reader of the answers need wait."""
    first, rest = 1, b""
    while part := stream.read1(STREAM_BYTES):
        *lines, rest = (rest + part).split(b"\n")
        # What is too long is not kept; one byte more tells it from what is not.
        rest = rest[: MOST_BYTES + 1]
        if lines:
            yield batch_of([_row_of(first + place, text) for place, text in enumerate(lines)])
        first += len(lines)
    if rest:
        yield batch_of([_row_of(first, rest)])


def _row_of(line: int, text: bytes) -> Row:
    if len(text) > MOST_BYTES:
        return Row(line, NO_VALUES, f"longer than {MOST_BYTES:,} bytes")
    return Row(line, (None, text.removesuffix(b"\r").decode(errors="surrogateescape"), None, None, None))


def side_by_side(
    function: Callable[[pa.RecordBatch], Answered], pieces: Iterator[pa.RecordBatch]
) -> Iterator[Answered]:
    """`map`, a piece a thread, while the next are read: for a file, of which nobody waits for the first rows."""
    return map_threads(function, ahead(pieces))


@dataclass(frozen=True)
class Answers:
    """How rows are answered: with the `top` categories, of those that score at least `min_score`."""

    classifier: Classifier
    top: int = 1
    min_score: float = 0.0
    with_ids: bool = False

    @property
    def schema(self) -> pa.Schema:
        ids = [pa.field("id", pa.string())] if self.with_ids else []
        answer = [pa.field("title", pa.string()), pa.field("category", pa.string()), pa.field("score", pa.float32())]
        return pa.schema([pa.field("line", pa.int64()), *ids, *answer])

    def of(self, batches: Iterator[pa.RecordBatch], mapped: Mapped = side_by_side) -> Iterator[pa.Table]:
        """A table for some rows at a time, in their order; says which rows could not be read.

        Rows of a stream are to be `mapped` by `map`, each batch as it comes.
        """
        keep_freed_memory()
        started, titles, faults = time.monotonic(), 0, 0
        piece_rows = max(1, PIECE_ROWS // min(self.top, len(self.classifier.categories)))
        for rows, answered in mapped(self._of_piece, _pieces(batches, piece_rows)):
            for fault in rows.filter(pc.is_valid(rows["fault"])).select(["line", "fault"]).to_pylist():
                faults += 1
                if faults <= SHOWN_FAULTS:
                    log.warning("line %d has no category: %s", fault["line"], fault["fault"])
            titles += len(rows)
            yield answered
        if faults > SHOWN_FAULTS:
            log.warning("so have %s more", f"{faults - SHOWN_FAULTS:,}")
        seconds = time.monotonic() - started
        log.info("%s titles in %.1f s, %s a second", f"{titles:,}", seconds, f"{titles / seconds:,.0f}")

    def _of_piece(self, rows: pa.RecordBatch) -> Answered:
        labels, scores = self.classifier.best(rows["title"].fill_null(""), self.top)
        named = scores >= self.min_score
        named &= np.array(pc.is_null(rows["fault"]), bool)[:, None]
        kept = named.copy()
        # A title without any category has a row all the same.
        kept[:, 0] = True
        told = rows if self.top == 1 else rows.take(pa.array(np.repeat(np.arange(len(rows)), kept.sum(1))))
        is_absent = ~named[kept]
        answer = {
            "category": pa.array(self.classifier.categories).take(pa.array(labels[kept], mask=is_absent)),
            "score": pa.array(scores[kept], mask=is_absent),
        }
        columns = {name: told[name] for name in self.schema.names if name not in answer}
        return rows, pa.table(columns | answer, self.schema)


def write_submission(classifier: Classifier, test: RawFile, path: Path) -> None:
    """A CSV file with the id and the category of every row of the file.

    Raises InputError with the line of a row that has no id or cannot be read, as every row must have its category.
    """
    with written(path, pa.schema([("id", pa.string()), ("category", pa.string())])) as write:
        for table in Answers(classifier, with_ids=True).of(test.batches()):
            ids = pc.utf8_trim_whitespace(table["id"].fill_null(""))
            unusable = pc.or_(pc.equal(ids, ""), pc.is_null(table["category"]))
            for line in table["line"].filter(unusable).slice(0, 1).to_pylist():
                raise InputError(f"{test.path}, line {line}: no id, or not to be read; mend the row")
            write(pa.table({"id": ids, "category": table["category"]}))


def _pieces(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for first in range(0, len(batch), rows):
            yield batch.slice(first, rows)
