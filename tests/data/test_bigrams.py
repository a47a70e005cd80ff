from collections import Counter
from itertools import chain, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from titles.data import bigrams
from titles.data.bigrams import NO_BIGRAM, bigram_keys, most_frequent_bigrams
from titles.data.ragged import Ragged

TITLES = st.lists(st.lists(st.integers(0, 4), max_size=5), max_size=8)


def ragged(rows):
    return Ragged(np.array(list(chain(*rows)), np.int32), np.cumsum([0, *map(len, rows)]))


@given(TITLES)
def test_each_word_has_the_key_of_the_bigram_with_the_word_before_it_in_the_title(titles):
    expected = [[NO_BIGRAM, *(one << 32 | other for one, other in pairwise(title))][: len(title)] for title in titles]
    assert bigram_keys(ragged(titles)).tolist() == list(chain(*expected))


@given(TITLES, st.integers(0, 12))
def test_bigrams_are_the_most_frequent_of_vocabulary_words_and_ties_go_to_the_lowest_key(titles, max_bigrams):
    counts = Counter(one << 32 | other for title in titles for one, other in pairwise(title) if max(one, other) < 4)
    expected = sorted(sorted(counts, key=lambda bigram: (-counts[bigram], bigram))[:max_bigrams])
    with TemporaryDirectory() as scratch:
        assert most_frequent_bigrams(ragged(titles), 4, max_bigrams, Path(scratch)).tolist() == expected


@pytest.mark.parametrize("size", [1, 3, 7])
def test_bigrams_do_not_depend_on_the_number_of_files_and_blocks(monkeypatch, tmp_path, size):
    titles = ragged([[0, 1, 2], [], [1, 2, 3], [0, 1], [3, 3, 3], [2, 2]])
    expected = most_frequent_bigrams(titles, 4, 3, tmp_path).tolist()
    monkeypatch.setattr(bigrams, "FILE_KEYS", size)
    monkeypatch.setattr(bigrams, "BLOCK_ROWS", size)
    assert most_frequent_bigrams(titles, 4, 3, tmp_path).tolist() == expected == [1, 1 << 32 | 2, 3 << 32 | 3]
    assert list(tmp_path.iterdir()) == []
