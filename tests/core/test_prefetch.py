import threading
from collections.abc import Iterator

import pytest

from titles.core.prefetch import map_prefetched, prefetch


def test_prefetch_yields_all_items_including_none():
    assert list(prefetch(iter([1, None, 3]))) == [1, None, 3]
    assert list(prefetch(iter([]))) == []


def test_prefetch_raises_an_error_after_the_items_before_it():
    def failing() -> Iterator[int]:
        yield 1
        raise ValueError("damaged")

    items = prefetch(failing())
    assert next(items) == 1
    with pytest.raises(ValueError, match="damaged"):
        next(items)


def test_map_prefetched_keeps_the_order_of_the_items():
    is_finished = [threading.Event() for _ in range(20)]

    def function(item):
        # Of each two results the second one is finished first.
        if item % 2 == 0:
            is_finished[item + 1].wait()
        is_finished[item].set()
        return item

    assert list(map_prefetched(function, range(20), threads=2)) == list(range(20))


def test_map_prefetched_computes_at_most_two_results_per_thread_early():
    items = iter(range(100))
    results = map_prefetched(lambda number: number, items, threads=2)
    assert next(results) == 0
    assert next(items) == 2 * 2 + 1
    results.close()


def test_map_prefetched_raises_an_error_of_a_thread_with_its_result():
    results = map_prefetched(lambda number: 1 // number, [1, 0], threads=1)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
