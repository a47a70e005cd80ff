from itertools import chain

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from titles.batch import Batch
from titles.ragged import Ragged

ROWS = 6


def ragged(rows):
    return Ragged(np.array(list(chain(*rows)), np.int32), np.cumsum([0, *map(len, rows)]))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(st.integers(0, ROWS - 1), max_size=5), max_size=5))
@example([[]])
@example([[2, 2], [], [2]])
def test_a_batch_knows_where_each_of_its_words_stands(titles):
    titles = ragged(titles)
    batch = Batch.of(titles, ragged([[]] * ROWS))
    assert batch.words.tolist() == sorted(set(titles.values.tolist()))
    assert batch.words[batch.places].tolist() == titles.values.tolist()
    for word, first, end in zip(batch.words, batch.starts[:-1], batch.starts[1:], strict=True):
        assert batch.order[first:end].tolist() == np.flatnonzero(titles.values == int(word)).tolist()
