"""A small encoded data set in the format of data/embedded, on which a network trains within a second."""

from pathlib import Path

import numpy as np

from titles.data.encoded_dataset import Vocabulary
from titles.data.ragged import Ragged
from titles.text.vocabulary import hash_ngrams

WORDS = [f"palabra{number}" for number in range(40)]
VOCABULARY = Vocabulary(["casa", "juego", "ropa"], [40, 40, 40], [3], 50, WORDS)


def write_numbered(root: Path, **titles: int) -> None:
    """Write `embedded` and `vectors.npy` to `root`; `titles` gives the number of three-word titles of each split."""
    embedded = root / "embedded"
    embedded.mkdir()
    VOCABULARY.save(embedded)
    hash_ngrams(WORDS, [3], 50).save(embedded, "subword_ids")
    rng = np.random.default_rng(0)
    for split, count in titles.items():
        word_ids = rng.integers(0, len(WORDS), count * 3).astype(np.int32)
        Ragged(word_ids, np.arange(count + 1) * 3).save(embedded, split)
        np.save(embedded / f"{split}.labels.npy", (word_ids[::3] % 3).astype(np.int32))
        np.save(embedded / f"{split}.reliable.npy", np.zeros(count, bool))
    np.save(embedded / "bigrams.npy", np.array([1, 2 << 32 | 5]))
    (embedded / "sources.csv").write_text("file,split,bytes,md5\n")
    np.save(root / "vectors.npy", np.empty((0, 8), np.float32))
