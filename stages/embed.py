"""Titles as text in; their words and categories as numbers, and the vectors to start from, out."""

from pathlib import Path

from titles import encoding
from titles.encoding import EmbedParams
from titles.stage import start
from titles.tracking import Run


def embed(
    prepared: Path, reduced: Path, word_vectors: Path, embedded: Path, vectors: Path, *, run: Run, embed: EmbedParams
) -> None:
    """Logs how many words, categories and titles there are."""
    run.log_metrics(encoding.embed(prepared, reduced, word_vectors, embedded, vectors, embed))


if __name__ == "__main__":
    start(embed)
