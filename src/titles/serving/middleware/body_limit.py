"""Receive request bodies before the application is called, with limits of size and time."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from titles.serving.middleware.responses import send_error
from titles.serving.middleware.shutdown import ShutdownState


class BodyLimitMiddleware:
    """Answer 413 to a body longer than `max_bytes`, and 408 to one that takes longer than `timeout` seconds.

    The body of a GET or HEAD request is not read.
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
            # The client has disconnected.
            return
        if len(body) > self.max_bytes:
            await send_error(
                send, 413, f"the body is longer than {self.max_bytes:,} bytes; send fewer titles at a time"
            )
            return
        await self.app(scope, _replay_body(body, receive), send)

    async def _receive_body(self, scope: Scope, receive: Receive) -> bytes | None:
        """Return the body, or more than `max_bytes` of it if it is too long; None if the client has disconnected."""
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length) > self.max_bytes:
            # Not received: a client that sent Expect: 100-continue then does not send it.
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
    """Return a `receive` that gives the body first, then the messages after it."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay
