"""What many ask at once, answered together: while one batch is calculated, the next one gathers."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Generic, TypeVar

import torch

Title = TypeVar("Title")
Prediction = TypeVar("Prediction")
Result = TypeVar("Result")


class OverloadedError(Exception):
    """More waits than would be answered in reasonable time."""


@dataclass(frozen=True)
class _PendingRequest(Generic[Title, Prediction]):
    titles: list[Title]
    work: int
    future: "asyncio.Future[list[Prediction]]"


class DynamicBatcher(Generic[Title, Prediction]):
    """`answer` gives of many titles an answer each; so many threads call it, each with titles of `batch_work` or so.

    Work is a number in a unit of the caller's. What is admitted at a time is at most `max_work`.
    """

    def __init__(
        self, predict_batch: Callable[[list[Title]], list[Prediction]], num_threads: int, batch_work: int, max_work: int
    ) -> None:
        self.predict_batch, self.batch_work, self.max_work = predict_batch, batch_work, max_work
        self.work = 0
        self.queue: asyncio.Queue[_PendingRequest[Title, Prediction]] = asyncio.Queue()
        self.num_threads = num_threads
        # A batch a thread: threads that share the work of a small batch would wait for one another most of the time.
        self.executor = ThreadPoolExecutor(num_threads, initializer=torch.set_num_threads, initargs=(1,))

    @contextmanager
    def admit(self, work: int) -> Iterator[None]:
        """Count the work of one request from its admission to its answer. Raises BusyError where it is too much."""
        if not self.can_admit(work):
            raise OverloadedError
        self.work += work
        try:
            yield
        finally:
            self.work -= work

    def can_admit(self, work: int) -> bool:
        """Whether so much more would be admitted now."""
        return self.work + work <= self.max_work

    async def submit(self, titles: list[Title], work: int) -> list[Prediction]:
        """An answer for each title of an admitted request, all of one batch."""
        asked = _PendingRequest(titles, work, asyncio.get_running_loop().create_future())
        self.queue.put_nowait(asked)
        return await asked.future

    async def run_in_thread(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Call it in one of the threads, in its turn."""
        return await asyncio.get_running_loop().run_in_executor(self.executor, function, *arguments)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answers what is asked within the block."""
        tasks = [asyncio.create_task(self._run_worker()) for _ in range(self.num_threads)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.executor.shutdown(wait=False, cancel_futures=True)

    async def _run_worker(self) -> None:
        while True:
            batch = [await self.queue.get()]
            while not self.queue.empty() and sum(asked.work for asked in batch) < self.batch_work:
                batch.append(self.queue.get_nowait())
            await self._process_batch(batch)

    async def _process_batch(self, batch: list[_PendingRequest[Title, Prediction]]) -> None:
        titles = [title for asked in batch for title in asked.titles]
        try:
            answers = await asyncio.get_running_loop().run_in_executor(self.executor, self.predict_batch, titles)
        except Exception as error:
            for asked in batch:
                if not asked.future.done():
                    asked.future.set_exception(error)
            return
        ends = accumulate((len(asked.titles) for asked in batch), initial=0)
        for asked, (first, last) in zip(batch, pairwise(ends), strict=True):
            # Who asked may have gone.
            if not asked.future.done():
                asked.future.set_result(answers[first:last])
