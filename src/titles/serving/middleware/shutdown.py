"""The state of the server's shutdown, and the responses to requests that it cancels."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from titles.serving.middleware.responses import send_error


class ShutdownState:
    """Whether the shutdown has begun, and until when bodies are read."""

    def __init__(self) -> None:
        self.has_begun = False
        self._read_deadline = float("inf")
        self._timeouts: set[asyncio.Timeout] = set()

    def begin(self) -> None:
        """Begin the shutdown: the server is not ready, and every response closes its connection."""
        self.has_begun = True

    def set_read_deadline(self, when: float) -> None:
        """Stop reading bodies at `when`, in the time of the event loop."""
        self._read_deadline = when
        for timeout in self._timeouts:
            timeout.reschedule(min(when, timeout.when() or when))

    @asynccontextmanager
    async def read_timeout(self, seconds: float) -> AsyncIterator[None]:
        """Raise TimeoutError if the block takes longer, or runs until the read deadline of the shutdown."""
        when = min(asyncio.get_running_loop().time() + seconds, self._read_deadline)
        async with asyncio.timeout_at(when) as timeout:
            self._timeouts.add(timeout)
            try:
                yield
            finally:
                self._timeouts.discard(timeout)


class ShutdownMiddleware:
    """Answer 503 if the shutdown cancels a request before `app` has responded."""

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
