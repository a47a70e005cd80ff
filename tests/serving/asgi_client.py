"""Send requests to an ASGI application without a server."""

import asyncio
import json
from dataclasses import dataclass, field


@dataclass
class Response:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def json(self):
        return json.loads(self.body)


async def send_request(app, method, path, content=None, headers=None, receive=None) -> Response:
    """Return the response to a request. Its body is `content` as JSON, or comes from `receive`."""
    default_headers = {"host": "127.0.0.1:8000"} | ({} if content is None else {"content-type": "application/json"})
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [
            (name.encode(), value.encode())
            for name, value in (default_headers | (headers or {})).items()
            if value is not None
        ],
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50000),
        "state": {},
    }
    response = Response()

    body = [b"" if content is None else json.dumps(content).encode()]

    async def receive_body():
        if not body:
            # No more messages; the client stays connected.
            await asyncio.Event().wait()
        return {"type": "http.request", "body": body.pop(), "more_body": False}

    async def send(message):
        if message["type"] == "http.response.start":
            assert not response.status
            response.status = message["status"]
            response.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            response.body += message.get("body", b"")

    await app(scope, receive or receive_body, send)
    return response
