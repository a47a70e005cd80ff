"""Dynamic batching: titles of concurrent requests are predicted together, while the next batch collects in a queue."""

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
    """The pending work is over the limit."""


@dataclass(frozen=True)
class _PendingRequest(Generic[Title, Prediction]):
    titles: list[Title]
    work: int
    future: "asyncio.Future[list[Prediction]]"


class DynamicBatcher(Generic[Title, Prediction]):
    """Run `predict_batch`, which returns one prediction per title, in `num_threads` threads.

    The caller defines the unit of work. A batch is closed once it has `batch_work`; the work admitted at a time is at
    most `max_work`.
    """

    def __init__(
        self, predict_batch: Callable[[list[Title]], list[Prediction]], num_threads: int, batch_work: int, max_work: int
    ) -> None:
        self.predict_batch, self.batch_work, self.max_work = predict_batch, batch_work, max_work
        self.work = 0
        self.queue: asyncio.Queue[_PendingRequest[Title, Prediction]] = asyncio.Queue()
        self.num_threads = num_threads
        # One thread per batch: several torch threads for a small batch would mostly wait for one another.
        self.executor = ThreadPoolExecutor(num_threads, initializer=torch.set_num_threads, initargs=(1,))

    @contextmanager
    def admit(self, work: int) -> Iterator[None]:
        """Count the work of a request as pending within the block. Raises OverloadedError if it is over the limit."""
        if not self.can_admit(work):
            raise OverloadedError
        self.work += work
        try:
            yield
        finally:
            self.work -= work

    def can_admit(self, work: int) -> bool:
        """Return whether this much more work is within the limit."""
        return self.work + work <= self.max_work

    async def submit(self, titles: list[Title], work: int) -> list[Prediction]:
        """Return a prediction per title of an admitted request; all are in one batch."""
        request = _PendingRequest(titles, work, asyncio.get_running_loop().create_future())
        self.queue.put_nowait(request)
        return await request.future

    async def run_in_thread(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Call a function in one of the threads, after the batches that were submitted before."""
        return await asyncio.get_running_loop().run_in_executor(self.executor, function, *arguments)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Process the queue within the block."""
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
            while not self.queue.empty() and sum(request.work for request in batch) < self.batch_work:
                batch.append(self.queue.get_nowait())
            await self._process_batch(batch)

    async def _process_batch(self, batch: list[_PendingRequest[Title, Prediction]]) -> None:
        titles = [title for request in batch for title in request.titles]
        try:
            predictions = await self.run_in_thread(self.predict_batch, titles)
        except Exception as error:
            for request in batch:
                if not request.future.done():
                    request.future.set_exception(error)
            return
        ends = accumulate((len(request.titles) for request in batch), initial=0)
        for request, (first, last) in zip(batch, pairwise(ends), strict=True):
            # The future is done if the client has disconnected.
            if not request.future.done():
                request.future.set_result(predictions[first:last])
