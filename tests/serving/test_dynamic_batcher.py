import asyncio
import threading

import pytest

from titles.serving.dynamic_batcher import DynamicBatcher, OverloadedError


def submit_together(batcher, *requests):
    """The predictions for concurrent requests, or their exceptions."""

    async def run():
        async with batcher.running():
            return await asyncio.gather(*(submit(batcher, titles) for titles in requests), return_exceptions=True)

    return asyncio.run(run())


async def submit(batcher, titles):
    """The predictions for a request whose work is its number of titles."""
    with batcher.admit(len(titles)):
        return await batcher.submit(titles, len(titles))


def test_every_request_gets_the_predictions_for_its_own_titles():
    seen = []

    def upper(titles):
        seen.append(titles)
        return [title.upper() for title in titles]

    predictions = submit_together(
        DynamicBatcher(upper, 1, batch_work=100, max_work=100), ["a", "b"], ["c"], ["d", "e", "f"]
    )
    assert predictions == [["A", "B"], ["C"], ["D", "E", "F"]]
    assert seen == [["a", "b", "c", "d", "e", "f"]]


def test_a_batch_is_closed_once_it_has_its_work():
    sizes = []

    def record_size(titles):
        sizes.append(len(titles))
        return titles

    submit_together(
        DynamicBatcher(record_size, 1, batch_work=4, max_work=100), *([str(number)] * 2 for number in range(5))
    )
    assert sizes == [4, 4, 2]


def test_a_request_over_the_limit_is_refused_at_once_and_the_others_are_predicted():
    batcher = DynamicBatcher(lambda titles: titles, 1, batch_work=2, max_work=4)
    first, second, third = submit_together(batcher, ["a", "b"], ["c", "d"], ["e"])
    assert (first, second) == (["a", "b"], ["c", "d"])
    assert isinstance(third, OverloadedError)
    assert batcher.work == 0 and batcher.can_admit(4)


def test_an_exception_reaches_only_the_requests_of_its_batch():
    def fail_on_bad(titles):
        if "bad" in titles:
            raise ValueError("bad")
        return titles

    batcher = DynamicBatcher(fail_on_bad, 1, batch_work=2, max_work=100)
    first, second, third = submit_together(batcher, ["good", "bad"], ["fine"], ["well"])
    assert isinstance(first, ValueError)
    assert (second, third) == (["fine"], ["well"])


def test_a_cancelled_request_does_not_block_the_others():
    async def run():
        batcher = DynamicBatcher(lambda titles: titles, 1, batch_work=10, max_work=10)
        cancelled = asyncio.create_task(submit(batcher, ["cancelled"]))
        other = asyncio.create_task(submit(batcher, ["other"]))
        await asyncio.sleep(0)
        cancelled.cancel()
        async with batcher.running():
            return await other, batcher.work

    assert asyncio.run(asyncio.wait_for(run(), 10)) == (["other"], 0)


@pytest.mark.parametrize("work", [0, 3, 4])
def test_work_is_admitted_up_to_the_limit(work):
    batcher = DynamicBatcher(lambda titles: titles, 1, batch_work=10, max_work=4)
    with batcher.admit(work):
        assert batcher.can_admit(4 - work) and not batcher.can_admit(5 - work)


def test_batches_and_the_limit_are_measured_in_work_and_not_in_titles():
    sizes = []

    def record_size(titles):
        sizes.append(len(titles))
        return titles

    async def run():
        batcher = DynamicBatcher(record_size, 1, batch_work=10, max_work=24)
        with batcher.admit(12), batcher.admit(12):
            with pytest.raises(OverloadedError), batcher.admit(1):
                pass
            tasks = [asyncio.create_task(batcher.submit([title], 12)) for title in ("long", "longer")]
            async with batcher.running():
                await asyncio.gather(*tasks)

    asyncio.run(run())
    assert sizes == [1, 1]


def test_a_small_batch_is_predicted_while_another_thread_predicts_a_large_one():
    small_is_done = threading.Event()

    def predict(titles):
        if titles == ["small"]:
            small_is_done.set()
        else:
            assert small_is_done.wait(10)
        return titles

    batcher = DynamicBatcher(predict, 2, batch_work=2, max_work=100)
    assert submit_together(batcher, ["large", "batch"], ["small"]) == [["large", "batch"], ["small"]]


def test_an_admitted_request_counts_until_the_end_of_its_block():
    async def run():
        batcher = DynamicBatcher(lambda titles: titles, 1, batch_work=2, max_work=2)
        async with batcher.running():
            with batcher.admit(2):
                predictions = await batcher.submit(["a", "b"], 2)
                assert not batcher.can_admit(1)
                # No more work is admitted, but admitted work is finished.
                return predictions, await batcher.run_in_thread(max, 1, 2)

    assert asyncio.run(run()) == (["a", "b"], 2)
