import threading
from collections.abc import Iterator

import pytest

from titles.core.prefetch import map_prefetched, prefetch


def test_the_items_come_as_they_are_made_none_among_them():
    assert list(prefetch(iter([1, None, 3]))) == [1, None, 3]
    assert list(prefetch(iter([]))) == []


def test_an_error_comes_after_the_items_before_it():
    def failing() -> Iterator[int]:
        yield 1
        raise ValueError("damaged")

    items = prefetch(failing())
    assert next(items) == 1
    with pytest.raises(ValueError, match="damaged"):
        next(items)


def test_what_is_made_by_threads_comes_in_the_order_it_was_asked_for():
    is_made = [threading.Event() for _ in range(20)]

    def make(number):
        # Of two results the second one is made first.
        if number % 2 == 0:
            is_made[number + 1].wait()
        is_made[number].set()
        return number

    assert list(map_prefetched(make, range(20), threads=2)) == list(range(20))


def test_threads_make_no_more_than_twice_their_number_before_it_is_asked_for():
    items = iter(range(100))
    results = map_prefetched(lambda number: number, items, threads=2)
    assert next(results) == 0
    assert next(items) == 2 * 2 + 1
    results.close()


def test_what_goes_wrong_in_a_thread_is_raised_where_its_result_is_asked_for():
    results = map_prefetched(lambda number: 1 // number, [1, 0], threads=1)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
