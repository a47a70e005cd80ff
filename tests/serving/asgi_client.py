"""Requests to an ASGI application, without a server."""

import asyncio
import json
from dataclasses import dataclass, field


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def json(self):
        return json.loads(self.body)


async def ask(app, method, path, content=None, headers=None, receive=None) -> Answer:
    """The answer to a request, whose body is `content` as JSON, or what `receive` gives."""
    sent = {"host": "127.0.0.1:8000"} | ({} if content is None else {"content-type": "application/json"})
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
            (name.encode(), value.encode()) for name, value in (sent | (headers or {})).items() if value is not None
        ],
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50000),
        "state": {},
    }
    answer = Answer()

    body = [b"" if content is None else json.dumps(content).encode()]

    async def received():
        if not body:
            # Nothing follows, nor does the client go.
            await asyncio.Event().wait()
        return {"type": "http.request", "body": body.pop(), "more_body": False}

    async def send(message):
        if message["type"] == "http.response.start":
            assert not answer.status
            answer.status = message["status"]
            answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            answer.body += message.get("body", b"")

    await app(scope, receive or received, send)
    return answer
