"""What many ask at once, answered together: while one batch is calculated, the next one gathers."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class BusyError(Exception):
    """More waits than would be answered in reasonable time."""


@dataclass(frozen=True)
class _Asked(Generic[Answer]):
    titles: list[str]
    answers: "asyncio.Future[list[Answer]]"


class Batches(Generic[Answer]):
    """`answer` gives of many titles an answer each; it is called in a thread of its own, with `most` titles or so."""

    def __init__(self, answer: Callable[[list[str]], list[Answer]], most: int, most_waiting: int) -> None:
        self.answer, self.most, self.most_waiting = answer, most, most_waiting
        self.waiting = 0
        self.queue: asyncio.Queue[_Asked[Answer]] = asyncio.Queue()
        self.thread = ThreadPoolExecutor(1)

    async def ask(self, titles: list[str]) -> list[Answer]:
        """An answer for each title. Raises BusyError where too many wait already."""
        if self.waiting + len(titles) > self.most_waiting:
            raise BusyError
        self.waiting += len(titles)
        try:
            asked = _Asked(titles, asyncio.get_running_loop().create_future())
            self.queue.put_nowait(asked)
            return await asked.answers
        finally:
            self.waiting -= len(titles)

    @property
    def is_full(self) -> bool:
        """Whether not one title more may wait."""
        return self.waiting >= self.most_waiting

    async def run(self) -> None:
        """Answers until it is cancelled."""
        while True:
            batch = [await self.queue.get()]
            while not self.queue.empty() and sum(len(asked.titles) for asked in batch) < self.most:
                batch.append(self.queue.get_nowait())
            await self._answer(batch)

    async def _answer(self, batch: list[_Asked[Answer]]) -> None:
        titles = [title for asked in batch for title in asked.titles]
        try:
            answers = await asyncio.get_running_loop().run_in_executor(self.thread, self.answer, titles)
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
