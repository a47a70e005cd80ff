from collections.abc import Iterator

import pytest

from titles.ahead import ahead


def test_the_items_come_as_they_are_made_none_among_them():
    assert list(ahead(iter([1, None, 3]))) == [1, None, 3]
    assert list(ahead(iter([]))) == []


def test_an_error_comes_after_the_items_before_it():
    def failing() -> Iterator[int]:
        yield 1
        raise ValueError("damaged")

    items = ahead(failing())
    assert next(items) == 1
    with pytest.raises(ValueError, match="damaged"):
        next(items)
