"""uvicorn, with an orderly end: not ready, then no new connections, then whoever was admitted is answered."""

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

# How long a connection may take for the line and headers of a request.
HEADER_TIMEOUT_SECONDS = 10.0
# How long the server's end waits for a request that may be on its way over a connection at rest.
IDLE_GRACE_SECONDS = 0.5


class Connection(HttpToolsProtocol):
    """uvicorn's, which does not wait for the head of a request for ever, nor is closed while one is on its way."""

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
        """For a head, at most so long from now; None where it has come."""
        if self._timer:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self.transport.close) if seconds is not None else None


class Server(uvicorn.Server):
    """Ends within `seconds` of a signal.

    SIGTERM leaves a fifth of them to whoever asks /ready to learn that it is not; Ctrl-C does not. Half of what remains
    is for bodies on their way. What is not answered at the end gets 503. Ctrl-C after either waits for nobody.
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
        # A second less, for what is then given up to be told so.
        self.config.timeout_graceful_shutdown = max(1, int(left) - 1)
        await super().shutdown(sockets)
        if self.force_exit:
            # Which uvicorn leaves out, and then logs that it was interrupted.
            await self.lifespan.shutdown()

    async def _wait_not_ready(self) -> None:
        end = time.monotonic() + self.not_ready_seconds
        while time.monotonic() < end and not self.force_exit:
            await asyncio.sleep(0.05)

    async def _close_listeners(self) -> None:
        """Close them with none waiting to be accepted, whom the system would send a reset."""
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
    """Serve until a signal."""
    options: dict[str, Any] = {"http": Connection, "ws": "none", "access_log": False}
    server = Server(uvicorn.Config(app, host, port, **options), shutdown, shutdown_timeout)
    # Raised by uvicorn once it has ended.
    with suppress(KeyboardInterrupt):
        server.run()
