"""A uvicorn server with a graceful shutdown: report not ready, stop accepting, answer the accepted requests, end."""

import asyncio
import os
import signal
import socket
import time
from contextlib import suppress
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from titles.serving.middleware.shutdown import ShutdownState

# The time limit for the request line and the headers of a request.
HEADER_TIMEOUT_SECONDS = 10.0
# How long the shutdown waits for a request that may be in transit on an idle connection.
IDLE_GRACE_SECONDS = 0.5


class Connection(HttpToolsProtocol):
    """uvicorn's connection, with a time limit for headers, and a grace period for idle connections at shutdown."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._set_timeout(HEADER_TIMEOUT_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._set_timeout(None)
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._set_timeout(HEADER_TIMEOUT_SECONDS)

    def on_headers_complete(self) -> None:
        self._set_timeout(None)
        super().on_headers_complete()

    def shutdown(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self._set_timeout(IDLE_GRACE_SECONDS)
        else:
            super().shutdown()

    def _set_timeout(self, seconds: float | None) -> None:
        """Close the connection after so many seconds, unless this is called again; None removes the limit."""
        if self._timer:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self.transport.close) if seconds is not None else None


class Server(uvicorn.Server):
    """A server that ends within `shutdown_timeout` seconds of a signal.

    After SIGTERM it still accepts requests for a fifth of that time, while /ready answers 503 so that load balancers
    stop sending requests; after Ctrl-C it stops accepting at once. Half of the remaining time is for reading bodies.
    Requests that are not answered in time get 503. A second Ctrl-C ends it at once.
    """

    def __init__(self, config: uvicorn.Config, shutdown: ShutdownState, shutdown_timeout: float) -> None:
        super().__init__(config)
        self.shutdown_state, self.shutdown_timeout = shutdown, shutdown_timeout
        self.not_ready_seconds = 0.0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self.shutdown_state.has_begun and sig != signal.SIGINT:
            self.not_ready_seconds = self.shutdown_timeout / 5
        self.shutdown_state.begin()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + self.shutdown_timeout
        await self._wait_not_ready()
        left = end - loop.time()
        self.shutdown_state.set_read_deadline(loop.time() + left / 2)
        await self._close_listeners()
        # One second less, in which the requests that are cancelled then get their 503.
        self.config.timeout_graceful_shutdown = max(1, int(left) - 1)
        await super().shutdown(sockets)
        if self.force_exit:
            # On a forced exit uvicorn skips this and logs an interrupted lifespan.
            await self.lifespan.shutdown()

    async def _wait_not_ready(self) -> None:
        end = time.monotonic() + self.not_ready_seconds
        while time.monotonic() < end and not self.force_exit:
            await asyncio.sleep(0.05)

    async def _close_listeners(self) -> None:
        """Stop listening, after accepting all queued connections, which the kernel would otherwise reset."""
        accepted: list[socket.socket] = []
        for server in self.servers:
            for listening in server.sockets:
                with socket.socket(fileno=os.dup(listening.fileno())) as listener:
                    accepted += _accept_all(listener)
            server.close()
        for connection in accepted:
            await asyncio.get_running_loop().connect_accepted_socket(self._create_connection, connection)

    def _create_connection(self) -> Connection:
        return Connection(self.config, self.server_state, self.lifespan.state)


def _accept_all(listener: socket.socket) -> list[socket.socket]:
    accepted: list[socket.socket] = []
    listener.setblocking(False)
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return accepted
        connection.setblocking(False)
        accepted.append(connection)


def run(app: ASGIApp, host: str, port: int, shutdown: ShutdownState, shutdown_timeout: float) -> None:
    """Serve until a signal ends the server."""
    options: dict[str, Any] = {"http": Connection, "ws": "none", "access_log": False}
    server = Server(uvicorn.Config(app, host, port, **options), shutdown, shutdown_timeout)
    # uvicorn raises it after a shutdown by Ctrl-C.
    with suppress(KeyboardInterrupt):
        server.run()
