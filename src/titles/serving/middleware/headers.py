"""The headers of every answer: what a browser may load, the model, and an id for the request."""

import re
from collections.abc import Callable
from urllib.parse import quote
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from titles.serving.middleware.shutdown import ShutdownState

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
# The page of the API starts itself with a script within it.
DOCS_CONTENT_SECURITY_POLICY = (
    f"{CONTENT_SECURITY_POLICY}; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'"
)
DOCS_URL = "/docs"
# An id a proxy may have given; any other could be made to forge lines of a log.
REQUEST_ID = re.compile(rb"[\w.:/+=-]{1,128}")


class ResponseHeadersMiddleware:
    """Adds them to every answer of `app`.

    The model is the one that `scope["state"]["model"]` names, as a request may be answered by one that was replaced
    since; else the one that `identity` gives.
    """

    def __init__(self, app: ASGIApp, identity: Callable[[], dict[str, str]], shutdown: ShutdownState) -> None:
        self.app, self.identity, self.shutdown = app, identity, shutdown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        sent = dict(scope["headers"]).get(b"x-request-id", b"")
        state["request_id"] = sent.decode() if REQUEST_ID.fullmatch(sent) else uuid4().hex

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self._headers(scope)]
            await send(message)

        await self.app(scope, receive, send_with_headers)

    def _headers(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        state = scope["state"]
        headers = {
            "content-security-policy": DOCS_CONTENT_SECURITY_POLICY
            if scope["path"] == DOCS_URL
            else CONTENT_SECURITY_POLICY,
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "x-request-id": state["request_id"],
        }
        headers |= {f"x-model-{key}": quote(value) for key, value in state.get("model", self.identity()).items()}
        if self.shutdown.has_begun:
            # A client that asks on finds another server, or one that comes after this one.
            headers["connection"] = "close"
        return [(name.encode(), value.encode()) for name, value in headers.items()]
