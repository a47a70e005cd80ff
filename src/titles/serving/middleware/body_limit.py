"""Bodies of requests: received before the application sees them, within limits of size and time."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from titles.serving.middleware.responses import send_error
from titles.serving.middleware.shutdown import ShutdownState


class BodyLimitMiddleware:
    """Answers 413 in place of `app` to a body longer than `most` bytes, 408 to one that takes longer than `seconds`.

    A body of GET or HEAD is not read at all.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, timeout: float, shutdown: ShutdownState) -> None:
        self.app, self.max_bytes, self.timeout, self.shutdown = app, max_bytes, timeout, shutdown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        try:
            async with self.shutdown.read_timeout(self.timeout):
                body = await self._receive_body(scope, receive)
        except TimeoutError:
            await send_error(send, 408, f"the body was not received within {self.timeout:g} s; send the request again")
            return
        if body is None:
            # Whoever asked has gone.
            return
        if len(body) > self.max_bytes:
            await send_error(
                send, 413, f"the body is longer than {self.max_bytes:,} bytes; send fewer titles at a time"
            )
            return
        await self.app(scope, _replay_body(body, receive), send)

    async def _receive_body(self, scope: Scope, receive: Receive) -> bytes | None:
        """The body, or as much of it as shows that it is too long; None where the sender has gone."""
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length) > self.max_bytes:
            # Not asked for, where the sender waits for that.
            return bytes(self.max_bytes + 1)
        body = bytearray()
        while len(body) <= self.max_bytes:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        return bytes(body)


def _replay_body(body: bytes, receive: Receive) -> Receive:
    """Receive the body, then whatever follows it."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay
