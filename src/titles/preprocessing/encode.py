"""data/embedded: the vocabulary, titles as word ids, categories as labels, and the initial word vectors."""

import logging
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from ibis import BaseBackend, _
from numpy.typing import NDArray

from titles.core.atomic_directory import atomic_directory, require_output
from titles.core.constraints import Interval, check_range
from titles.core.prefetch import prefetch
from titles.core.progress import Progress
from titles.data.bigrams import most_frequent_bigrams
from titles.data.encoded_dataset import Vocabulary
from titles.data.npy_writer import NpyWriter
from titles.data.ragged import Ragged, RaggedWriter
from titles.preprocessing.engine import connect, read_parquet, write_parquet
from titles.text.pretrained_vectors import check_word_vectors, read_word_vectors
from titles.text.vocabulary import hash_ngrams, lookup_word_ids, split_words

log = logging.getLogger(__name__)

# The value of embed.word_vectors without a file of pretrained vectors.
NO_WORD_VECTORS = "none"

BATCH_ROWS = 500_000
BATCH_WORDS = 100_000


@dataclass(frozen=True)
class EmbedParams:
    """Section `embed` of params.yaml; docs/parameters.md explains the keys."""

    dimension: Annotated[int, Interval("[1, 4096]")]
    vocabulary_size: Annotated[int, Interval("[1, 2147483647]")]
    subword_min_n: Annotated[int, Interval("[2, 8]")]
    subword_max_n: Annotated[int, Interval("[0, 8]")]
    subword_buckets: Annotated[int, Interval("[1, 2147483647]")]
    bigrams: Annotated[int, Interval("[0, 2147483647]")]
    word_vectors: str

    def __post_init__(self) -> None:
        """Raise ValueError if `subword_max_n` is below `subword_min_n`, unless it is 0: no subwords."""
        if self.subword_max_n:
            check_range("subword_min_n", self.subword_min_n, "subword_max_n", self.subword_max_n)

    @property
    def subword_lengths(self) -> range:
        """All lengths from the shortest to the longest; empty without subwords."""
        return range(self.subword_min_n, self.subword_max_n + 1)


def embed(
    prepared: Path, reduced: Path, word_vectors: Path, embedded: Path, vectors: Path, params: EmbedParams
) -> dict[str, int]:
    """Write `embedded` and `vectors`; return the number of titles of each split and the sizes of the vocabulary.

    `vectors` is float32 [vocabulary, dimension], NaN for words that the file `params.word_vectors` lacks, or
    [0, dimension] without such a file. Raise InputError if an input is missing or the vectors do not fit.
    """
    files = {"train": require_output(reduced / "train.parquet", "reduce")}
    files |= {split: require_output(prepared / f"{split}.parquet", "prepare") for split in ("validation", "test")}
    if (unlabelled := prepared / "unlabelled.parquet").exists():
        files["unlabelled"] = unlabelled
    if params.word_vectors != NO_WORD_VECTORS:
        check_word_vectors(word_vectors / params.word_vectors, params.dimension)
    with atomic_directory(embedded) as unfinished:
        with connect(unfinished) as (engine, scratch):
            tables = {split: read_parquet(engine, path) for split, path in files.items()}
            vocabulary, other_words = _build_vocabulary(engine, tables, params, scratch)
        vocabulary.save(unfinished)
        shutil.copyfile(require_output(prepared / "sources.csv", "prepare"), unfinished / "sources.csv")
        words = pa.concat_arrays([pa.array(vocabulary.words, pa.string()), other_words])
        _write_subwords(words, unfinished, params)
        for split, path in files.items():
            _encode_split(path, unfinished, split, words, pa.array(vocabulary.categories, pa.string()))
        train = Ragged.load(unfinished, "train")
        bigrams = most_frequent_bigrams(train, len(vocabulary.words), params.bigrams, unfinished)
        np.save(unfinished / "bigrams.npy", bigrams)
        np.save(unfinished / vectors.name, _initial_vectors(word_vectors, vocabulary.words, params))
        # Vectors of an earlier run would not match the new vocabulary.
        vectors.unlink(missing_ok=True)
    (embedded / vectors.name).rename(vectors)
    counts = {split: pq.read_metadata(path).num_rows for split, path in files.items()}
    counts |= {
        "vocabulary": len(vocabulary.words),
        "other_words": len(other_words),
        "bigrams": len(bigrams),
        "categories": vocabulary.num_trained_categories,
    }
    log.info(", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items()))
    return counts


def _unnest_words(table: ir.Table) -> ir.Table:
    """One row for every word of every title."""
    return table.select(word=_.cleaned.split(" ").unnest()).filter(_.word != "")


def _build_vocabulary(
    engine: BaseBackend, tables: dict[str, ir.Table], params: EmbedParams, scratch: Path
) -> tuple[Vocabulary, pa.Array]:
    """Build the vocabulary; also return all other words, which have no vector of their own, in alphabetical order."""
    # Only occurrences in train count towards the frequency of a word.
    occurrences = (_unnest_words(table).mutate(rows=int(split == "train")) for split, table in tables.items())
    counts = ibis.union(*occurrences).group_by("word").agg(rows=_.rows.sum())
    write_parquet(engine, counts, scratch / "words.parquet", "counting words")
    counts = read_parquet(engine, scratch / "words.parquet")
    frequent = counts.filter(_.rows > 0).order_by([_.rows.desc(), "word"]).limit(params.vocabulary_size)
    words = frequent.word.to_pyarrow().to_pylist()
    others = counts.anti_join(frequent, "word").order_by("word").word.to_pyarrow().combine_chunks()
    trained = tables["train"].group_by("category").agg(titles=_.count()).order_by("category").to_pyarrow()
    labelled = ibis.union(
        *(table.select("category") for split, table in tables.items() if split != "unlabelled"), distinct=True
    )
    categories = trained["category"].to_pylist()
    categories += sorted(set(labelled.category.to_pyarrow().to_pylist()).difference(categories))
    num_titles = trained["titles"].to_pylist()
    return Vocabulary(categories, num_titles, list(params.subword_lengths), params.subword_buckets, words), others


def _initial_vectors(folder: Path, words: list[str], params: EmbedParams) -> NDArray[np.float32]:
    if params.word_vectors == NO_WORD_VECTORS:
        return np.empty((0, params.dimension), np.float32)
    vectors = read_word_vectors(folder / params.word_vectors, words, params.dimension)
    num_found = len(vectors) - np.count_nonzero(np.isnan(vectors[:, 0]))
    log.info("%s of %s words have a vector in %s", f"{num_found:,}", f"{len(words):,}", params.word_vectors)
    return vectors


def _write_subwords(words: pa.Array, embedded: Path, params: EmbedParams) -> None:
    with RaggedWriter(embedded, "subword_ids") as writer, Progress(len(words), "words", "hashing subwords") as bar:
        for first in range(0, len(words), BATCH_WORDS):
            batch = words.slice(first, BATCH_WORDS).to_pylist()
            writer.append(hash_ngrams(batch, params.subword_lengths, params.subword_buckets))
            bar.update(len(batch))


def _encode_split(path: Path, embedded: Path, split: str, words: pa.Array, categories: pa.Array) -> None:
    """Encode the titles of a Parquet file as word ids and labels, and write them batch by batch."""
    parquet = pq.ParquetFile(path)
    columns = ["cleaned"] if split == "unlabelled" else ["cleaned", "category", "label_quality"]
    with ExitStack() as stack:
        titles = stack.enter_context(RaggedWriter(embedded, split))
        bar = stack.enter_context(Progress(parquet.metadata.num_rows, "titles", f"encoding {split}"))
        if split != "unlabelled":
            labels = stack.enter_context(NpyWriter(embedded / f"{split}.labels.npy", np.int32))
            reliable = stack.enter_context(NpyWriter(embedded / f"{split}.reliable.npy", np.bool_))
        for batch in prefetch(parquet.iter_batches(BATCH_ROWS, columns=columns)):
            titles.append(lookup_word_ids(split_words(batch["cleaned"]), words))
            if split != "unlabelled":
                labels.append(pc.index_in(batch["category"], categories).to_numpy())
                reliable.append(pc.equal(batch["label_quality"], "reliable").to_numpy(zero_copy_only=False))
            bar.update(len(batch))
