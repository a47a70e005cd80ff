"""Headers of every response: security policies, the identity of the model, and a request id."""

import re
from collections.abc import Callable
from urllib.parse import quote
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from titles.serving.middleware.shutdown import ShutdownState

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
# The API documentation has an inline script.
DOCS_CONTENT_SECURITY_POLICY = (
    f"{CONTENT_SECURITY_POLICY}; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'"
)
DOCS_URL = "/docs"
# Request ids accepted from a proxy. Others could forge log lines.
REQUEST_ID = re.compile(rb"[\w.:/+=-]{1,128}")


class ResponseHeadersMiddleware:
    """Add the headers to every response of `app`.

    The model is that of `scope["state"]["model"]` if the request was answered by a model, which may have been replaced
    since; else it is the result of `identity`.
    """

    def __init__(self, app: ASGIApp, identity: Callable[[], dict[str, str]], shutdown: ShutdownState) -> None:
        self.app, self.identity, self.shutdown = app, identity, shutdown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        request_id = dict(scope["headers"]).get(b"x-request-id", b"")
        state["request_id"] = request_id.decode() if REQUEST_ID.fullmatch(request_id) else uuid4().hex

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
            # The next request then opens a connection to another server, or to the successor of this one.
            headers["connection"] = "close"
        return [(name.encode(), value.encode()) for name, value in headers.items()]
