"""Titles as text in; their words and categories as numbers, and the vectors to start from, out."""

from pathlib import Path

from titles.preprocessing import encode
from titles.preprocessing.encode import EmbedParams
from titles.stage import start
from titles.tracking.run import Run


def embed(
    prepared: Path, reduced: Path, word_vectors: Path, embedded: Path, vectors: Path, *, run: Run, embed: EmbedParams
) -> None:
    """Logs how many titles came in, all of which go out, and how many words, pairs and categories they have."""
    counts = encode.embed(prepared, reduced, word_vectors, embedded, vectors, embed)
    found = {name: counts.pop(name) for name in ("vocabulary", "other_words", "bigrams", "categories")}
    titles = sum(counts.values())
    run.log_metrics({"rows_in": titles, "rows_out": titles, **found})


if __name__ == "__main__":
    start(embed)
