"""Where text ends: numbers words and categories, writes data/embedded and the vectors training starts from."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from ibis import _
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from titles.embedded import Lexicon
from titles.engine import connected
from titles.limits import Interval
from titles.outputs import fresh
from titles.pairs import find_pairs
from titles.progress import Progress
from titles.ragged import Ragged
from titles.vocabulary import MOST_WORDS, number_words, spell, split_words
from titles.word_vectors import check_word_vectors, read_word_vectors

log = logging.getLogger(__name__)

BATCH_ROWS = 500_000


@dataclass(frozen=True)
class EmbedParams:
    dimension: Annotated[int, Interval("[1, 4096]")]
    min_count: Annotated[int, Interval("[1, inf)")]
    subword_lengths: tuple[Annotated[int, Interval("[2, 8]")], ...]
    subword_buckets: Annotated[int, Interval("[1, 2147483647]")]
    pairs: Annotated[int, Interval("[0, 2147483647]")]
    word_vectors: str | None


def embed(
    prepared: Path, reduced: Path, word_vectors: Path, embedded: Path, vectors: Path, params: EmbedParams
) -> dict[str, int]:
    """Writes `embedded` and `vectors`; returns how many words, categories and titles of each split there are.

    `vectors` is float32 [vocabulary, dimension], NaN for a word that the file `params.word_vectors` lacks, and
    [0, dimension] without such a file.
    """
    files = {"train": reduced / "train.parquet"}
    files |= {split: prepared / f"{split}.parquet" for split in ("validation", "test", "unlabelled")}
    files = {split: path for split, path in files.items() if path.exists()}
    if params.word_vectors is not None:
        check_word_vectors(word_vectors / params.word_vectors, params.dimension)
    with connected(fresh(embedded)) as (engine, _scratch):
        tables = {split: engine.read_parquet(path) for split, path in files.items()}
        lexicon, other_words = _lexicon(tables, params)
        num_words = {split: _count_words(table) for split, table in tables.items()}
    lexicon.save(embedded)
    vectors.unlink(missing_ok=True)
    np.save(vectors, _starting_vectors(word_vectors, lexicon.vocabulary, params))
    words = lexicon.vocabulary + other_words
    spell(words, params.subword_lengths, params.subword_buckets).save(embedded, "spelling")
    for split, path in files.items():
        _encode(path, embedded, split, words, lexicon.categories, num_words[split])
    pairs = find_pairs(Ragged.load(embedded, "train"), len(lexicon.vocabulary), params.pairs)
    np.save(embedded / "pairs.npy", pairs)
    counts = {split: pq.read_metadata(path).num_rows for split, path in files.items()}
    counts |= {
        "vocabulary": len(lexicon.vocabulary),
        "other_words": len(other_words),
        "pairs": len(pairs),
        "categories": lexicon.trained_categories,
    }
    log.info(", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items()))
    return counts


def _words(table: ir.Table) -> ir.Table:
    """A row for every word of every title."""
    return table.select(word=_.cleaned.split(" ").unnest()).filter(_.word != "")


def _count_words(table: ir.Table) -> int:
    """How many words `split_words` finds in all titles."""
    words = ibis.least(_.cleaned.split(" ").length(), MOST_WORDS)
    return int(table.filter(_.cleaned != "").select(words=words).words.sum().fill_null(0).execute())


def _lexicon(tables: dict[str, ir.Table], params: EmbedParams) -> tuple[Lexicon, list[str]]:
    """The lexicon, and the words that have no vector of their own, in the order of the alphabet."""
    counted = _words(tables["train"]).group_by("word").agg(rows=_.count()).filter(_.rows >= params.min_count)
    vocabulary = counted.order_by([_.rows.desc(), "word"]).word.to_pyarrow().to_pylist()
    distinct = ibis.union(*(_words(table) for table in tables.values()), distinct=True)
    other_words = distinct.anti_join(counted, "word").order_by("word").word.to_pyarrow().to_pylist()
    trained = tables["train"].select("category").distinct()
    labelled = ibis.union(
        *(table.select("category") for split, table in tables.items() if split != "unlabelled"), distinct=True
    )
    known, unknown = (
        names.order_by("category").category.to_pyarrow().to_pylist()
        for names in (trained, labelled.anti_join(trained, "category"))
    )
    lexicon = Lexicon(known + unknown, len(known), list(params.subword_lengths), params.subword_buckets, vocabulary)
    return lexicon, other_words


def _starting_vectors(folder: Path, vocabulary: list[str], params: EmbedParams) -> NDArray[np.float32]:
    if params.word_vectors is None:
        return np.empty((0, params.dimension), np.float32)
    vectors = read_word_vectors(folder / params.word_vectors, vocabulary, params.dimension)
    found = len(vectors) - np.count_nonzero(np.isnan(vectors[:, 0]))
    log.info("%s of %s words have a vector in %s", f"{found:,}", f"{len(vocabulary):,}", params.word_vectors)
    return vectors


def _encode(path: Path, embedded: Path, split: str, words: list[str], categories: list[str], num_words: int) -> None:
    """Writes the titles of a Parquet file as numbers, a batch at a time straight to the disk."""
    parquet = pq.ParquetFile(path)
    rows = parquet.metadata.num_rows
    titles = Ragged.create(embedded, split, rows, num_words)
    labels = (
        None
        if split == "unlabelled"
        else open_memmap(embedded / f"{split}.labels.npy", "w+", np.dtype(np.int32), (rows,))
    )
    known_words, known_categories = pa.array(words, pa.string()), pa.array(categories, pa.string())
    first = 0
    with Progress(rows, "titles", f"encoding {split}") as bar:
        for batch in parquet.iter_batches(
            BATCH_ROWS, columns=["cleaned"] if labels is None else ["cleaned", "category"]
        ):
            part = number_words(split_words(batch["cleaned"]), known_words)
            start, last = titles.offsets[first], first + len(batch)
            titles.values[start : start + len(part.values)] = part.values
            titles.offsets[first + 1 : last + 1] = start + part.offsets[1:]
            if labels is not None:
                labels[first:last] = pc.index_in(batch["category"], known_categories).to_numpy()
            first = last
            bar.update(len(batch))
