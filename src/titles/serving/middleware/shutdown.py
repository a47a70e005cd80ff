"""The end of a server, as its parts need to know of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from titles.serving.middleware.responses import send_error


class ShutdownState:
    """Whether the server is to end, and until when it still reads bodies."""

    def __init__(self) -> None:
        self.has_begun = False
        self._read_deadline = float("inf")
        self._timeouts: set[asyncio.Timeout] = set()

    def begin(self) -> None:
        """From here on the server is not ready, and every answer closes its connection."""
        self.has_begun = True

    def set_read_deadline(self, when: float) -> None:
        """What is not received by then, in the event loop's time, is received no more."""
        self._read_deadline = when
        for deadline in self._timeouts:
            deadline.reschedule(min(when, deadline.when() or when))

    @asynccontextmanager
    async def read_timeout(self, seconds: float) -> AsyncIterator[None]:
        """Raise TimeoutError where the block takes longer, or the server's end does not wait for it."""
        when = min(asyncio.get_running_loop().time() + seconds, self._read_deadline)
        async with asyncio.timeout_at(when) as deadline:
            self._timeouts.add(deadline)
            try:
                yield
            finally:
                self._timeouts.discard(deadline)


class ShutdownMiddleware:
    """Answers 503 in place of `app` where the server's end does not wait for it any longer."""

    def __init__(self, app: ASGIApp, shutdown: ShutdownState) -> None:
        self.app, self.shutdown = app, shutdown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_started = False

        async def record_start(message: Message) -> None:
            nonlocal has_started
            has_started = has_started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, record_start)
        except asyncio.CancelledError:
            if not self.shutdown.has_begun or scope["type"] != "http":
                raise
            if not has_started:
                await send_error(send, 503, "the server ended before it could answer; ask another one, or later")
