from itertools import chain

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from titles.data.csr_bags import CSRBags


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(st.integers(0, 5), max_size=5), max_size=5))
@example([[2, 2], [], [2, 0]])
def test_bags_have_their_indices_and_rows_have_their_bags(contents):
    indices = np.array(list(chain(*contents)), np.int32)
    bags = CSRBags.from_offsets(indices, np.cumsum([0, *map(len, contents)]))
    assert bags.rows.tolist() == sorted(set(indices.tolist()))
    assert bags.rows[bags.inverse].tolist() == bags.indices.tolist() == indices.tolist()
    for row, first, end in zip(bags.rows, bags.row_offsets[:-1], bags.row_offsets[1:], strict=True):
        expected = [bag for bag, content in enumerate(contents) for index in content if index == row]
        assert bags.row_bags[first:end].tolist() == expected
