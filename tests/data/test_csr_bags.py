from itertools import chain

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from titles.data.csr_bags import CSRBags


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(st.integers(0, 5), max_size=5), max_size=5))
@example([[2, 2], [], [2, 0]])
def test_bags_know_what_they_hold_and_numbers_what_holds_them(held):
    numbers = np.array(list(chain(*held)), np.int32)
    bags = CSRBags.from_offsets(numbers, np.cumsum([0, *map(len, held)]))
    assert bags.rows.tolist() == sorted(set(numbers.tolist()))
    assert bags.rows[bags.inverse].tolist() == bags.indices.tolist() == numbers.tolist()
    for row, first, end in zip(bags.rows, bags.row_offsets[:-1], bags.row_offsets[1:], strict=True):
        holding = [bag for bag, content in enumerate(held) for number in content if number == row]
        assert bags.row_bags[first:end].tolist() == holding
