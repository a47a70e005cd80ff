"""The end of a server, as its parts need to know of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from titles.serving.middleware.responses import answer


class Shutdown:
    """Whether the server is to end, and until when it still reads bodies."""

    def __init__(self) -> None:
        self.has_begun = False
        self._last_read = float("inf")
        self._reading: set[asyncio.Timeout] = set()

    def begin(self) -> None:
        """From here on the server is not ready, and every answer closes its connection."""
        self.has_begun = True

    def end_reading(self, when: float) -> None:
        """What is not received by then, in the event loop's time, is received no more."""
        self._last_read = when
        for deadline in self._reading:
            deadline.reschedule(min(when, deadline.when() or when))

    @asynccontextmanager
    async def reading(self, seconds: float) -> AsyncIterator[None]:
        """Raise TimeoutError where the block takes longer, or the server's end does not wait for it."""
        when = min(asyncio.get_running_loop().time() + seconds, self._last_read)
        async with asyncio.timeout_at(when) as deadline:
            self._reading.add(deadline)
            try:
                yield
            finally:
                self._reading.discard(deadline)


class AnswerAtShutdown:
    """Answers 503 in place of `app` where the server's end does not wait for it any longer."""

    def __init__(self, app: ASGIApp, shutdown: Shutdown) -> None:
        self.app, self.shutdown = app, shutdown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_started = False

        async def noted(message: Message) -> None:
            nonlocal has_started
            has_started = has_started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, noted)
        except asyncio.CancelledError:
            if not self.shutdown.has_begun or scope["type"] != "http":
                raise
            if not has_started:
                await answer(send, 503, "the server ended before it could answer; ask another one, or later")
