"""Error responses that middleware sends without calling the application."""

import json

from starlette.types import Send


async def send_error(send: Send, status: int, detail: str) -> None:
    """Send an `ErrorResponse` and close the connection, because the rest of the request is not read."""
    body = json.dumps({"detail": detail}).encode()
    length = str(len(body)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", length), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
