"""The access log: one JSON object per response, in JSON Lines. It does not contain titles."""

import json
import logging
import sys
import time
from datetime import UTC, datetime

from starlette.types import ASGIApp, Receive, Scope, Send

from titles.serving.middleware.status import StatusRecorder

log = logging.getLogger("titles.access")


def configure_access_log() -> None:
    """Write the access log to standard output."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False


class AccessLogMiddleware:
    """Log every response of `app`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        time_received, started = datetime.now(UTC), time.perf_counter()
        recorder = StatusRecorder(send)
        state = scope.setdefault("state", {})

        try:
            await self.app(scope, receive, recorder)
        finally:
            line = {
                "time": time_received.isoformat(timespec="milliseconds"),
                "client": scope["client"][0] if scope["client"] else None,
                "method": scope["method"],
                "path": scope["path"],
                "status": recorder.status,
                "seconds": round(time.perf_counter() - started, 4),
                "titles": state.get("titles", 0),
                "model": state["model"]["hash"] if "model" in state else None,
                "request_id": state.get("request_id"),
            }
            log.info(json.dumps(line))
