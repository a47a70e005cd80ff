import asyncio
import threading

import pytest

from titles.serving.batches import Batches, BusyError


def asked_together(batches, *requests):
    """The answers to requests that are made at once, or the errors."""

    async def ask():
        async with batches.answering():
            return await asyncio.gather(*map(batches.ask, requests), return_exceptions=True)

    return asyncio.run(ask())


def test_every_request_gets_the_answers_to_its_own_titles():
    seen = []

    def shouted(titles):
        seen.append(titles)
        return [title.upper() for title in titles]

    answers = asked_together(Batches(shouted, 1, most=100, most_waiting=100), ["a", "b"], ["c"], ["d", "e", "f"])
    assert answers == [["A", "B"], ["C"], ["D", "E", "F"]]
    assert seen == [["a", "b", "c", "d", "e", "f"]]


def test_a_batch_is_full_once_it_has_its_titles():
    sizes = []

    def counted(titles):
        sizes.append(len(titles))
        return titles

    asked_together(Batches(counted, 1, most=4, most_waiting=100), *([str(number)] * 2 for number in range(5)))
    assert sizes == [4, 4, 2]


def test_who_would_wait_too_long_is_told_at_once_and_the_others_are_answered():
    batches = Batches(lambda titles: titles, 1, most=2, most_waiting=4)
    first, second, third = asked_together(batches, ["a", "b"], ["c", "d"], ["e"])
    assert (first, second) == (["a", "b"], ["c", "d"])
    assert isinstance(third, BusyError)
    assert batches.waiting == 0 and not batches.is_full


def test_an_error_reaches_those_whose_titles_were_in_the_batch_and_no_others():
    def refused(titles):
        if "bad" in titles:
            raise ValueError("bad")
        return titles

    batches = Batches(refused, 1, most=2, most_waiting=100)
    first, second, third = asked_together(batches, ["good", "bad"], ["fine"], ["well"])
    assert isinstance(first, ValueError)
    assert (second, third) == (["fine"], ["well"])


def test_who_has_gone_does_not_keep_the_others_waiting():
    async def ask():
        batches = Batches(lambda titles: titles, 1, most=10, most_waiting=10)
        gone = asyncio.create_task(batches.ask(["gone"]))
        stays = asyncio.create_task(batches.ask(["stays"]))
        await asyncio.sleep(0)
        gone.cancel()
        async with batches.answering():
            return await stays, batches.waiting

    assert asyncio.run(asyncio.wait_for(ask(), 10)) == (["stays"], 0)


@pytest.mark.parametrize("waiting", [0, 3, 4])
def test_it_is_full_when_not_one_more_title_may_wait(waiting):
    batches = Batches(lambda titles: titles, 1, most=10, most_waiting=4)
    batches.waiting = waiting
    assert batches.is_full == (waiting == 4)


def test_while_one_thread_is_at_a_large_batch_another_answers_a_small_one():
    small_is_answered = threading.Event()

    def answered(titles):
        if titles == ["small"]:
            small_is_answered.set()
        else:
            assert small_is_answered.wait(10)
        return titles

    batches = Batches(answered, 2, most=2, most_waiting=100)
    assert asked_together(batches, ["large", "batch"], ["small"]) == [["large", "batch"], ["small"]]


def test_what_is_called_waits_its_turn_and_counts_as_a_title():
    async def ask():
        batches = Batches(lambda titles: titles, 1, most=2, most_waiting=2)
        async with batches.answering():
            return await asyncio.gather(
                batches.ask(["a"]), batches.call(max, 1, 2), batches.call(max, 3, 4), return_exceptions=True
            )

    answered, called, refused = asyncio.run(ask())
    assert (answered, called) == (["a"], 2)
    assert isinstance(refused, BusyError)
