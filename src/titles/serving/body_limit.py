"""A body no longer than allowed, whether or not its sender says how long it is."""

import json
from contextlib import suppress

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimit:
    """Answers 413 in place of `app` as soon as a body is longer than `most` bytes."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self.app, self.most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        told = dict(scope["headers"]).get(b"content-length", b"0")
        if told.isdigit() and int(told) > self.most:
            await self._refuse(send)
            return
        received, is_answered = 0, False

        def is_refused() -> bool:
            # Who answers without having read the body is not to be interrupted.
            return received > self.most and not is_answered

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            # What reads the body gives up, whatever it makes of that.
            return {"type": "http.disconnect"} if is_refused() else message

        async def kept_back(message: Message) -> None:
            nonlocal is_answered
            if not is_refused():
                is_answered = True
                await send(message)

        with suppress(ClientDisconnect):
            await self.app(scope, counted, kept_back)
        if is_refused():
            await self._refuse(send)

    async def _refuse(self, send: Send) -> None:
        detail = f"the body is longer than {self.most:,} bytes; send fewer titles at a time"
        body = json.dumps({"detail": detail}).encode()
        length = str(len(body)).encode()
        # What is left of the body is not read, so that nothing else can follow.
        headers = [(b"content-type", b"application/json"), (b"content-length", length), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": body})
