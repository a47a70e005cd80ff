"""Predict the categories of the titles in a file or stream, in constant memory, as tables for an output file.

The output has one row per category of a title, the best first:

line        line of the title in the input, from 1
id          if the input has it
title       as in the input
…           the other columns to copy, as text
category    null if the title has none
score       probability of the category
reason      why there is no category: the row is unreadable, the title has no usable word, or the score is too low
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

# A batch of rows, and the position in bytes at which it ends in its file.
Chunk = tuple[pa.RecordBatch, int]
# A chunk, the table of its predictions, and the number of its rows with a prediction.
PredictedChunk = tuple[Chunk, pa.Table, int]
MapFunction = Callable[[Callable[[Chunk], PredictedChunk], Iterator[Chunk]], Iterator[PredictedChunk]]

# Output rows per chunk; few enough for a dozen chunks to be in memory at once.
CHUNK_ROWS = 16_384
# Bytes per read of a stream, and the length limit of a title in a stream, which is the same in files.
STREAM_READ_BYTES, MAX_TITLE_BYTES = 1 << 16, 1 << 17
MAX_LOGGED_FAULTS = 20


def read_line_batches(stream: io.BufferedReader) -> Iterator[pa.RecordBatch]:
    """Read one title per line. Each batch has the lines available so far, so that predictions follow without delay."""
    first, rest = 1, b""
    while data := stream.read1(STREAM_READ_BYTES):
        *lines, rest = (rest + data).split(b"\n")
        # A line that is too long is cut off, one byte over the limit, by which `_line_to_row` detects it.
        rest = rest[: MAX_TITLE_BYTES + 1]
        if lines:
            yield rows_to_batch([_line_to_row(line, text) for line, text in enumerate(lines, first)])
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
    """Like `map`, with one thread per chunk while the next chunks are read. It delays the first results: for files."""
    return map_threads(function, prefetch(chunks))


@dataclass
class BatchPredictor:
    """Predict the `top` categories with a score of at least `min_score`, and count the rows.

    `num_rows` counts all rows, `num_predicted` those with a prediction, however low its score.
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
        """The columns of the output."""
        names = (*(["id"] if self.with_ids else []), "title", *self.keep_columns)
        copied = [pa.field(name, pa.string()) for name in names]
        predicted = [
            pa.field("category", pa.string()),
            pa.field("score", pa.float32()),
            pa.field("reason", pa.string()),
        ]
        return pa.schema([pa.field("line", pa.int64()), *copied, *predicted])

    def predict_file(self, file: SourceFile) -> Iterator[pa.Table]:
        """Iterate over tables of predictions, in the order of the rows; log unreadable rows and the counts."""
        with Progress(file.size, "bytes", "predicting") as bar:
            for (_, position), table in self._predict_batches(file.batches_with_positions(), map_chunks_in_threads):
                yield table
                bar.update(position - bar.done)

    def predict_stream(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
        """Like `predict_file`, for batches of a stream; each is predicted as soon as it arrives."""
        return (table for _, table in self._predict_batches(((batch, 0) for batch in batches), map))

    def _predict_batches(self, batches: Iterator[Chunk], map_function: MapFunction) -> Iterator[tuple[Chunk, pa.Table]]:
        raise_malloc_thresholds()
        started, num_faults = time.monotonic(), 0
        chunk_rows = max(1, CHUNK_ROWS // min(self.top, len(self.classifier.categories)))
        for chunk, table, num_predicted in map_function(self._predict_chunk, _split_chunks(batches, chunk_rows)):
            rows, _ = chunk
            num_faults = _log_faults(rows, num_faults)
            self.num_rows += len(rows)
            self.num_predicted += num_predicted
            yield chunk, table
        if num_faults > MAX_LOGGED_FAULTS:
            log.warning("%s more without a category", format_count(num_faults - MAX_LOGGED_FAULTS, "line"))
        seconds = time.monotonic() - started
        rate = f"{self.num_rows / seconds:,.0f}"
        log.info("%s in %.1f s, %s titles/s", format_count(self.num_rows, "title"), seconds, rate)
        if num_unusable := self.num_rows - num_faults - self.num_predicted:
            log.info("%s without a usable word and without a category", format_count(num_unusable, "title"))

    def _predict_chunk(self, chunk: Chunk) -> PredictedChunk:
        rows, _ = chunk
        labels, scores = self.classifier.top_k(rows["title"], self.top)
        scores[np.array(pc.is_valid(rows["fault"]), bool)] = np.nan
        indices, predicted = prediction_columns(
            rows["title"], self.classifier.categories, (labels, scores), self.min_score
        )
        repeated = rows if self.top == 1 else rows.take(pa.array(indices))
        predicted["reason"] = pc.coalesce(repeated["fault"], predicted["reason"])
        copied = {name: repeated[name] for name in self.schema.names if name not in predicted}
        num_predicted = len(rows) - int(np.count_nonzero(np.isnan(scores[:, 0])))
        return chunk, pa.table(copied | predicted, self.schema), num_predicted


def _log_faults(rows: pa.RecordBatch, num_faults: int) -> int:
    """Log the unreadable rows up to `MAX_LOGGED_FAULTS` in all; return their number, added to `num_faults`."""
    for row in rows.filter(pc.is_valid(rows["fault"])).select(["line", "fault"]).to_pylist():
        num_faults += 1
        if num_faults <= MAX_LOGGED_FAULTS:
            log.warning("line %d has no category: %s", row["line"], row["fault"])
    return num_faults


def format_count(number: int, unit: str) -> str:
    """`1 title`, `2,000 titles`."""
    return f"{number:,} {unit}{'' if number == 1 else 's'}"


def write_submission(classifier: Classifier, test: SourceFile, path: Path | None) -> None:
    """Write a CSV file with the id and the category of every row of a file; None is the standard output.

    Every row must have a category, so a title without a usable word gets the category predicted for an empty title.
    Raises InputError with the line of the first row that is unreadable or has no id.
    """
    labels, _ = classifier.top_k(pa.array([""]))
    default = str(classifier.categories[labels[0, 0]])
    predictor = BatchPredictor(classifier, with_ids=True)
    schema = pa.schema([("id", pa.string()), ("category", pa.string())])
    with open_writer(path, schema) as write:
        for table in predictor.predict_file(test):
            ids = pc.utf8_trim_whitespace(table["id"].fill_null(""))
            is_default = pc.is_in(table["reason"], pa.array(NO_CATEGORY_REASONS))
            categories = pc.if_else(is_default, default, table["category"])
            is_invalid = pc.or_(pc.equal(ids, ""), pc.is_null(categories))
            for line in table["line"].filter(is_invalid).slice(0, 1).to_pylist():
                raise InputError(f"{test.path}, line {line}: no id, or not readable; correct the row")
            write(pa.table({"id": ids, "category": categories}))
    if num_unusable := predictor.num_rows - predictor.num_predicted:
        count = format_count(num_unusable, "title")
        log.warning("%s without a usable word: the submission has the default category %s for these", count, default)


def _split_chunks(batches: Iterator[Chunk], chunk_rows: int) -> Iterator[Chunk]:
    """Split batches into chunks of at most `chunk_rows`, with positions interpolated within the batch."""
    start = 0
    for batch, end in batches:
        for first in range(0, len(batch), chunk_rows):
            chunk = batch.slice(first, chunk_rows)
            yield chunk, start + (end - start) * (first + len(chunk)) // len(batch)
        start = end
