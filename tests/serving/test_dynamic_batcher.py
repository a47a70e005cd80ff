import asyncio
import threading

import pytest

from titles.serving.dynamic_batcher import DynamicBatcher, OverloadedError


def asked_together(batches, *requests):
    """The answers to requests that are made at once, or the errors."""

    async def ask():
        async with batches.running():
            return await asyncio.gather(*(admitted(batches, titles) for titles in requests), return_exceptions=True)

    return asyncio.run(ask())


async def admitted(batches, titles):
    """The answers to an admitted request, whose work is the number of its titles."""
    with batches.admit(len(titles)):
        return await batches.submit(titles, len(titles))


def test_every_request_gets_the_answers_to_its_own_titles():
    seen = []

    def shouted(titles):
        seen.append(titles)
        return [title.upper() for title in titles]

    answers = asked_together(
        DynamicBatcher(shouted, 1, batch_work=100, max_work=100), ["a", "b"], ["c"], ["d", "e", "f"]
    )
    assert answers == [["A", "B"], ["C"], ["D", "E", "F"]]
    assert seen == [["a", "b", "c", "d", "e", "f"]]


def test_a_batch_is_full_once_it_has_its_titles():
    sizes = []

    def counted(titles):
        sizes.append(len(titles))
        return titles

    asked_together(DynamicBatcher(counted, 1, batch_work=4, max_work=100), *([str(number)] * 2 for number in range(5)))
    assert sizes == [4, 4, 2]


def test_who_would_wait_too_long_is_told_at_once_and_the_others_are_answered():
    batches = DynamicBatcher(lambda titles: titles, 1, batch_work=2, max_work=4)
    first, second, third = asked_together(batches, ["a", "b"], ["c", "d"], ["e"])
    assert (first, second) == (["a", "b"], ["c", "d"])
    assert isinstance(third, OverloadedError)
    assert batches.work == 0 and batches.can_admit(4)


def test_an_error_reaches_those_whose_titles_were_in_the_batch_and_no_others():
    def refused(titles):
        if "bad" in titles:
            raise ValueError("bad")
        return titles

    batches = DynamicBatcher(refused, 1, batch_work=2, max_work=100)
    first, second, third = asked_together(batches, ["good", "bad"], ["fine"], ["well"])
    assert isinstance(first, ValueError)
    assert (second, third) == (["fine"], ["well"])


def test_who_has_gone_does_not_keep_the_others_waiting():
    async def ask():
        batches = DynamicBatcher(lambda titles: titles, 1, batch_work=10, max_work=10)
        gone = asyncio.create_task(admitted(batches, ["gone"]))
        stays = asyncio.create_task(admitted(batches, ["stays"]))
        await asyncio.sleep(0)
        gone.cancel()
        async with batches.running():
            return await stays, batches.work

    assert asyncio.run(asyncio.wait_for(ask(), 10)) == (["stays"], 0)


@pytest.mark.parametrize("work", [0, 3, 4])
def test_it_admits_what_fits_beside_the_work_that_waits(work):
    batches = DynamicBatcher(lambda titles: titles, 1, batch_work=10, max_work=4)
    with batches.admit(work):
        assert batches.can_admit(4 - work) and not batches.can_admit(5 - work)


def test_work_and_not_the_number_of_titles_fills_a_batch_and_is_limited():
    sizes = []

    def counted(titles):
        sizes.append(len(titles))
        return titles

    async def ask():
        batches = DynamicBatcher(counted, 1, batch_work=10, max_work=24)
        with batches.admit(12), batches.admit(12):
            with pytest.raises(OverloadedError), batches.admit(1):
                pass
            asked = [asyncio.create_task(batches.submit([title], 12)) for title in ("long", "longer")]
            async with batches.running():
                await asyncio.gather(*asked)

    asyncio.run(ask())
    assert sizes == [1, 1]


def test_while_one_thread_is_at_a_large_batch_another_answers_a_small_one():
    small_is_answered = threading.Event()

    def answered(titles):
        if titles == ["small"]:
            small_is_answered.set()
        else:
            assert small_is_answered.wait(10)
        return titles

    batches = DynamicBatcher(answered, 2, batch_work=2, max_work=100)
    assert asked_together(batches, ["large", "batch"], ["small"]) == [["large", "batch"], ["small"]]


def test_an_admitted_request_counts_until_its_block_ends():
    async def ask():
        batches = DynamicBatcher(lambda titles: titles, 1, batch_work=2, max_work=2)
        async with batches.running():
            with batches.admit(2):
                answers = await batches.submit(["a", "b"], 2)
                assert not batches.can_admit(1)
                # Though nothing more is admitted, what was admitted is brought to its end.
                return answers, await batches.run_in_thread(max, 1, 2)

    assert asyncio.run(ask()) == (["a", "b"], 2)
