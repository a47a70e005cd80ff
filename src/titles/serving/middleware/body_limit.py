"""Bodies of requests: received before the application sees them, within limits of size and time."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from titles.serving.middleware.responses import answer
from titles.serving.middleware.shutdown import Shutdown


class BodyLimit:
    """Answers 413 in place of `app` to a body longer than `most` bytes, 408 to one that takes longer than `seconds`.

    A body of GET or HEAD is not read at all.
    """

    def __init__(self, app: ASGIApp, most: int, seconds: float, shutdown: Shutdown) -> None:
        self.app, self.most, self.seconds, self.shutdown = app, most, seconds, shutdown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        try:
            async with self.shutdown.reading(self.seconds):
                body = await self._received(scope, receive)
        except TimeoutError:
            await answer(send, 408, f"the body was not received within {self.seconds:g} s; send the request again")
            return
        if body is None:
            # Whoever asked has gone.
            return
        if len(body) > self.most:
            await answer(send, 413, f"the body is longer than {self.most:,} bytes; send fewer titles at a time")
            return
        await self.app(scope, _once(body, receive), send)

    async def _received(self, scope: Scope, receive: Receive) -> bytes | None:
        """The body, or as much of it as shows that it is too long; None where the sender has gone."""
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length) > self.most:
            # Not asked for, where the sender waits for that.
            return bytes(self.most + 1)
        body = bytearray()
        while len(body) <= self.most:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        return bytes(body)


def _once(body: bytes, receive: Receive) -> Receive:
    """Receive the body, then whatever follows it."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return messages.pop() if messages else await receive()

    return received
