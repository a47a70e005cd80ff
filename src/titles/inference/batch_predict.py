"""Files of titles to files of categories, of any length in the same little memory.

A file of categories has a row for each category of a title, the best first:

line        where the title stands in its file
id          if the file of titles has it
title       as written
…           the columns that are kept, as text
category    empty where there is none
score
reason      why there is no category: the row could not be read, its title has nothing to go on, or scores too low
"""

import io
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from titles.core.errors import InputError
from titles.core.memory import raise_malloc_thresholds
from titles.core.prefetch import prefetch
from titles.core.progress import Progress
from titles.inference.classifier import Classifier
from titles.inference.threads import map_threads
from titles.inference.top_k import NO_CATEGORY_REASONS, prediction_columns
from titles.io.records import NO_VALUES, Row, rows_to_batch
from titles.io.source_file import SourceFile
from titles.io.table_writer import open_writer

log = logging.getLogger(__name__)

# Some rows, and the number of bytes of their file that end with them.
Chunk = tuple[pa.RecordBatch, int]
# A piece, the table of its answers, and how many of its rows have one.
PredictedChunk = tuple[Chunk, pa.Table, int]
MapFunction = Callable[[Callable[[Chunk], PredictedChunk], Iterator[Chunk]], Iterator[PredictedChunk]]

# Rows of a file of categories, a title's all together; small enough for a dozen pieces to be under way at once.
CHUNK_ROWS = 16_384
# What is taken at once of a stream, and the longest title there, as in a file.
STREAM_READ_BYTES, MAX_TITLE_BYTES = 1 << 16, 1 << 17
MAX_LOGGED_FAULTS = 20


def read_line_batches(stream: io.BufferedReader) -> Iterator[pa.RecordBatch]:
    """A title a line, as rows; those that are there already together, so that no reader of the answers need wait."""
    first, rest = 1, b""
    while part := stream.read1(STREAM_READ_BYTES):
        *lines, rest = (rest + part).split(b"\n")
        # What is too long is not kept; one byte more tells it from what is not.
        rest = rest[: MAX_TITLE_BYTES + 1]
        if lines:
            yield rows_to_batch([_line_to_row(first + place, text) for place, text in enumerate(lines)])
        first += len(lines)
    if rest:
        yield rows_to_batch([_line_to_row(first, rest)])


def _line_to_row(line: int, text: bytes) -> Row:
    if len(text) > MAX_TITLE_BYTES:
        return Row(line, NO_VALUES, f"longer than {MAX_TITLE_BYTES:,} bytes")
    return Row(line, (None, text.removesuffix(b"\r").decode(errors="surrogateescape"), None, None, None))


def map_chunks_in_threads(
    function: Callable[[Chunk], PredictedChunk], chunks: Iterator[Chunk]
) -> Iterator[PredictedChunk]:
    """`map`, a piece a thread, while the next are read: for a file, of which nobody waits for the first rows."""
    return map_threads(function, prefetch(chunks))


@dataclass
class BatchPredictor:
    """How rows are answered: with the `top` categories, of those that score at least `min_score`.

    `rows` counts those that came, and `answered` those for which the networks have a category, whatever it scores.
    """

    classifier: Classifier
    top: int = 1
    min_score: float = 0.0
    with_ids: bool = False
    keep_columns: Sequence[str] = ()
    num_rows: int = 0
    num_predicted: int = 0

    @property
    def schema(self) -> pa.Schema:
        given = [
            pa.field(name, pa.string()) for name in (*(["id"] if self.with_ids else []), "title", *self.keep_columns)
        ]
        answer = [pa.field("category", pa.string()), pa.field("score", pa.float32()), pa.field("reason", pa.string())]
        return pa.schema([pa.field("line", pa.int64()), *given, *answer])

    def predict_file(self, file: SourceFile) -> Iterator[pa.Table]:
        """A table for some rows at a time, in their order; says how many are answered, and which cannot be read."""
        with Progress(file.size, "bytes", "answering") as bar:
            for (_, position), table in self._predict_batches(file.batches_with_positions(), map_chunks_in_threads):
                yield table
                bar.update(position - bar.done)

    def predict_stream(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
        """The same for rows of which each batch is answered as it comes."""
        return (table for _, table in self._predict_batches(((batch, 0) for batch in batches), map))

    def _predict_batches(self, batches: Iterator[Chunk], map_function: MapFunction) -> Iterator[tuple[Chunk, pa.Table]]:
        raise_malloc_thresholds()
        started, faults = time.monotonic(), 0
        piece_rows = max(1, CHUNK_ROWS // min(self.top, len(self.classifier.categories)))
        for piece, table, answered in map_function(self._predict_chunk, _split_chunks(batches, piece_rows)):
            rows, _ = piece
            for fault in rows.filter(pc.is_valid(rows["fault"])).select(["line", "fault"]).to_pylist():
                faults += 1
                if faults <= MAX_LOGGED_FAULTS:
                    log.warning("line %d has no category: %s", fault["line"], fault["fault"])
            self.num_rows += len(rows)
            self.num_predicted += answered
            yield piece, table
        if faults > MAX_LOGGED_FAULTS:
            more = faults - MAX_LOGGED_FAULTS
            log.warning("so %s %s more", "has" if more == 1 else "have", f"{more:,}")
        seconds = time.monotonic() - started
        log.info(
            "%s in %.1f s, %s a second",
            format_count(self.num_rows, "title"),
            seconds,
            f"{self.num_rows / seconds:,.0f}",
        )
        if nothing := self.num_rows - faults - self.num_predicted:
            log.info(
                "%s nothing to go on and no category",
                f"{format_count(nothing, 'title')} {'has' if nothing == 1 else 'have'}",
            )

    def _predict_chunk(self, chunk: Chunk) -> PredictedChunk:
        rows, _ = chunk
        labels, scores = self.classifier.top_k(rows["title"], self.top)
        scores[np.array(pc.is_valid(rows["fault"]), bool)] = np.nan
        places, answer = prediction_columns(rows["title"], self.classifier.categories, (labels, scores), self.min_score)
        told = rows if self.top == 1 else rows.take(pa.array(places))
        answer["reason"] = pc.coalesce(told["fault"], answer["reason"])
        columns = {name: told[name] for name in self.schema.names if name not in answer}
        answered = len(rows) - int(np.count_nonzero(np.isnan(scores[:, 0])))
        return chunk, pa.table(columns | answer, self.schema), answered


def format_count(number: int, unit: str) -> str:
    """`1 title`, `2,000 titles`."""
    return f"{number:,} {unit}{'' if number == 1 else 's'}"


def write_submission(classifier: Classifier, test: SourceFile, path: Path | None) -> None:
    """A CSV file with the id and the category of every row of the file; None is the standard output.

    Every row must have a category: a title with nothing to go on gets the one that the network gives an empty title.
    Raises InputError with the line of a row that has no id or cannot be read.
    """
    labels, _ = classifier.top_k(pa.array([""]))
    guess = str(classifier.categories[labels[0, 0]])
    answers = BatchPredictor(classifier, with_ids=True)
    schema = pa.schema([("id", pa.string()), ("category", pa.string())])
    with open_writer(path, schema) as write:
        for table in answers.predict_file(test):
            ids = pc.utf8_trim_whitespace(table["id"].fill_null(""))
            is_guess = pc.is_in(table["reason"], pa.array(NO_CATEGORY_REASONS))
            categories = pc.if_else(is_guess, guess, table["category"])
            unusable = pc.or_(pc.equal(ids, ""), pc.is_null(categories))
            for line in table["line"].filter(unusable).slice(0, 1).to_pylist():
                raise InputError(f"{test.path}, line {line}: no id, or not to be read; mend the row")
            write(pa.table({"id": ids, "category": categories}))
    if nothing := answers.num_rows - answers.num_predicted:
        told = format_count(nothing, "title")
        log.warning("%s with nothing to go on: every row of a submission needs a category, here %s", told, guess)


def _split_chunks(batches: Iterator[Chunk], chunk_rows: int) -> Iterator[Chunk]:
    before = 0
    for batch, position in batches:
        for first in range(0, len(batch), chunk_rows):
            piece = batch.slice(first, chunk_rows)
            yield piece, before + (position - before) * (first + len(piece)) // len(batch)
        before = position
