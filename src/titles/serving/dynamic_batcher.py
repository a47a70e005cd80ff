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
Answer = TypeVar("Answer")
Result = TypeVar("Result")


class BusyError(Exception):
    """More waits than would be answered in reasonable time."""


@dataclass(frozen=True)
class _Asked(Generic[Title, Answer]):
    titles: list[Title]
    work: int
    answers: "asyncio.Future[list[Answer]]"


class Batches(Generic[Title, Answer]):
    """`answer` gives of many titles an answer each; so many threads call it, each with titles of `batch_work` or so.

    Work is a number in a unit of the caller's. What is admitted at a time is at most `max_work`.
    """

    def __init__(
        self, answer: Callable[[list[Title]], list[Answer]], threads: int, batch_work: int, max_work: int
    ) -> None:
        self.answer, self.batch_work, self.max_work = answer, batch_work, max_work
        self.work = 0
        self.queue: asyncio.Queue[_Asked[Title, Answer]] = asyncio.Queue()
        self.num_threads = threads
        # A batch a thread: threads that share the work of a small batch would wait for one another most of the time.
        self.threads = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))

    @contextmanager
    def admitted(self, work: int) -> Iterator[None]:
        """Count the work of one request from its admission to its answer. Raises BusyError where it is too much."""
        if not self.admits(work):
            raise BusyError
        self.work += work
        try:
            yield
        finally:
            self.work -= work

    def admits(self, work: int) -> bool:
        """Whether so much more would be admitted now."""
        return self.work + work <= self.max_work

    async def ask(self, titles: list[Title], work: int) -> list[Answer]:
        """An answer for each title of an admitted request, all of one batch."""
        asked = _Asked(titles, work, asyncio.get_running_loop().create_future())
        self.queue.put_nowait(asked)
        return await asked.answers

    async def call(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Call it in one of the threads, in its turn."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, function, *arguments)

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        """Answers what is asked within the block."""
        tasks = [asyncio.create_task(self._run()) for _ in range(self.num_threads)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self) -> None:
        while True:
            batch = [await self.queue.get()]
            while not self.queue.empty() and sum(asked.work for asked in batch) < self.batch_work:
                batch.append(self.queue.get_nowait())
            await self._answer(batch)

    async def _answer(self, batch: list[_Asked[Title, Answer]]) -> None:
        titles = [title for asked in batch for title in asked.titles]
        try:
            answers = await asyncio.get_running_loop().run_in_executor(self.threads, self.answer, titles)
        except Exception as error:
            for asked in batch:
                if not asked.answers.done():
                    asked.answers.set_exception(error)
            return
        ends = accumulate((len(asked.titles) for asked in batch), initial=0)
        for asked, (first, last) in zip(batch, pairwise(ends), strict=True):
            # Who asked may have gone.
            if not asked.answers.done():
                asked.answers.set_result(answers[first:last])
