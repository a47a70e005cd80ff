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
    answers: "asyncio.Future[list[Answer]]"


class Batches(Generic[Title, Answer]):
    """`answer` gives of many titles an answer each; so many threads call it, each with `most` titles or so."""

    def __init__(
        self, answer: Callable[[list[Title]], list[Answer]], threads: int, most: int, most_waiting: int
    ) -> None:
        self.answer, self.most, self.most_waiting = answer, most, most_waiting
        self.waiting = 0
        self.queue: asyncio.Queue[_Asked[Title, Answer]] = asyncio.Queue()
        self.num_threads = threads
        # A batch a thread: threads that share the work of a small batch would wait for one another most of the time.
        self.threads = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))

    async def ask(self, titles: list[Title]) -> list[Answer]:
        """An answer for each title. Raises BusyError where too many wait already."""
        with self._counted(len(titles)):
            asked = _Asked(titles, asyncio.get_running_loop().create_future())
            self.queue.put_nowait(asked)
            return await asked.answers

    async def call(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Calls it in one of the threads, in its turn, as if it were a title. Raises BusyError likewise."""
        with self._counted(1):
            return await asyncio.get_running_loop().run_in_executor(self.threads, function, *arguments)

    @contextmanager
    def _counted(self, titles: int) -> Iterator[None]:
        if self.waiting + titles > self.most_waiting:
            raise BusyError
        self.waiting += titles
        try:
            yield
        finally:
            self.waiting -= titles

    @property
    def is_full(self) -> bool:
        """Whether not one title more may wait."""
        return self.waiting >= self.most_waiting

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

    async def _run(self) -> None:
        while True:
            batch = [await self.queue.get()]
            while not self.queue.empty() and sum(len(asked.titles) for asked in batch) < self.most:
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
