"""Stage embed: build the vocabulary, encode titles and categories as ids, read pretrained word vectors."""

from pathlib import Path

from titles.preprocessing import encode
from titles.preprocessing.encode import EmbedParams
from titles.stage import start
from titles.tracking.run import Run


def embed(
    prepared: Path, reduced: Path, word_vectors: Path, embedded: Path, vectors: Path, *, run: Run, embed: EmbedParams
) -> None:
    """Log the number of titles and the sizes of the vocabulary; this stage drops no title."""
    counts = encode.embed(prepared, reduced, word_vectors, embedded, vectors, embed)
    sizes = {name: counts.pop(name) for name in ("vocabulary", "other_words", "bigrams", "categories")}
    titles = sum(counts.values())
    run.log_metrics({"rows_in": titles, "rows_out": titles, **sizes})


if __name__ == "__main__":
    start(embed)
