"""The shutdown of the server, with each step blocked until the test has checked its effect."""

import asyncio
import contextlib
import signal
import socket

import pytest
import uvicorn

from tests.servers import free_port
from titles.serving.middleware.body_limit import BodyLimitMiddleware
from titles.serving.middleware.headers import ResponseHeadersMiddleware
from titles.serving.middleware.shutdown import ShutdownMiddleware, ShutdownState
from titles.serving.server import Connection, Server

GET = b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n"


class RunningServer:
    """A server of a small application on a free port, in the event loop of the test.

    GET /held is answered once `may_respond` is set. The shutdown sets `is_not_ready` and then waits for `not_ready`
    before it closes its listeners.
    """

    def __init__(self, seconds: float = 60.0) -> None:
        self.shutdown, self.is_held, self.may_respond = ShutdownState(), asyncio.Event(), asyncio.Event()
        self.not_ready, self.is_not_ready = asyncio.Event(), asyncio.Event()
        wrapped = BodyLimitMiddleware(self.app, 1000, 60.0, self.shutdown)
        wrapped = ResponseHeadersMiddleware(ShutdownMiddleware(wrapped, self.shutdown), dict, self.shutdown)
        config = uvicorn.Config(wrapped, port=0, http=Connection, ws="none", lifespan="off", log_config=None)
        self.server = Server(config, self.shutdown, seconds)
        self.server._wait_not_ready = self.wait

    async def app(self, scope, _receive, send) -> None:
        if scope["path"] == "/held":
            self.is_held.set()
            await self.may_respond.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async def wait(self) -> None:
        self.is_not_ready.set()
        await self.not_ready.wait()

    async def start(self) -> None:
        # Not `serve`, which would send captured signals to the tests at its end.
        self.task = asyncio.create_task(self.server._serve())
        while not self.server.started:
            await asyncio.sleep(0)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]

    def connect(self):
        return asyncio.open_connection("127.0.0.1", self.port)


def run(test, **options):
    async def run_test():
        running = RunningServer(**options)
        await running.start()
        await test(running)
        await running.task

    asyncio.run(asyncio.wait_for(run_test(), 60))


def test_the_server_responds_while_not_ready_then_stops_accepting_and_answers_accepted_requests():
    async def test(running):
        reader, writer = await running.connect()
        writer.write(GET % b"held")
        await running.is_held.wait()
        running.server.handle_exit(signal.SIGTERM, None)
        await running.is_not_ready.wait()
        assert running.shutdown.has_begun
        late_reader, late_writer = await running.connect()
        late_writer.write(GET % b"")
        # Up to the end, when the server closes the connection.
        late = await late_reader.read()
        assert late.startswith(b"HTTP/1.1 200") and b"connection: close" in late
        running.not_ready.set()
        while running.server.servers[0].is_serving():
            await asyncio.sleep(0)
        with pytest.raises(ConnectionRefusedError):
            await running.connect()
        running.may_respond.set()
        response = await reader.read()
        assert response.startswith(b"HTTP/1.1 200") and response.endswith(b"ok")

    run(test)


def test_queued_connections_are_answered_and_not_reset():
    async def test(running):
        # The kernel has connected them, but the server has not accepted them yet.
        clients = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(20)]
        await running.server._close_listeners()
        for client in clients:
            client.setblocking(False)
            await asyncio.get_running_loop().sock_sendall(client, GET % b"")
        for client in clients:
            response = await asyncio.get_running_loop().sock_recv(client, 1000)
            assert response.startswith(b"HTTP/1.1 200")
            client.close()
        running.not_ready.set()
        running.server.handle_exit(signal.SIGTERM, None)

    run(test)


def test_a_request_in_transit_on_an_idle_connection_is_answered():
    async def test(running):
        reader, writer = await running.connect()
        writer.write(GET % b"")
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        (connection,) = running.server.server_state.connections
        running.shutdown.begin()
        connection.shutdown()
        writer.write(GET % b"")
        response = await reader.read()
        assert response.startswith(b"HTTP/1.1 200") and b"connection: close" in response
        running.not_ready.set()
        running.server.handle_exit(signal.SIGTERM, None)

    run(test)


def test_an_incomplete_body_gets_408_and_does_not_block_the_shutdown():
    async def test(running):
        reader, writer = await running.connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
        while not running.shutdown._timeouts:
            await asyncio.sleep(0)
        running.not_ready.set()
        running.server.handle_exit(signal.SIGTERM, None)
        assert (await reader.read()).startswith(b"HTTP/1.1 408")

    run(test, seconds=4.0)


@pytest.mark.parametrize("sent", [b"", b"GET /half"])
def test_a_connection_without_a_complete_request_does_not_block_the_shutdown(sent):
    async def test(running):
        reader, writer = await running.connect()
        writer.write(sent)
        while not running.server.server_state.connections:
            await asyncio.sleep(0)
        running.not_ready.set()
        running.server.handle_exit(signal.SIGTERM, None)
        assert await reader.read() == b""

    run(test)


def test_a_request_not_answered_in_time_gets_503_without_a_traceback(caplog):
    async def test(running):
        reader, writer = await running.connect()
        writer.write(GET % b"held")
        await running.is_held.wait()
        running.not_ready.set()
        running.server.handle_exit(signal.SIGTERM, None)
        assert (await reader.read()).startswith(b"HTTP/1.1 503")

    run(test, seconds=2.0)
    assert "Traceback" not in caplog.text


def test_missing_headers_close_the_connection(monkeypatch):
    monkeypatch.setattr("titles.serving.server.HEADER_TIMEOUT_SECONDS", 0.0)

    async def test(running):
        for sent in (b"", b"GET /half"):
            reader, writer = await running.connect()
            with contextlib.suppress(ConnectionError):
                writer.write(sent)
                assert await reader.read() == b""
        running.not_ready.set()
        running.server.handle_exit(signal.SIGTERM, None)

    run(test)


@pytest.mark.parametrize(("sent", "seconds"), [(signal.SIGTERM, 2.0), (signal.SIGINT, 0.0)])
def test_only_sigterm_leaves_time_to_report_not_ready(sent, seconds):
    server = Server(uvicorn.Config(None, port=free_port()), ShutdownState(), 10.0)
    server.handle_exit(sent, None)
    assert (server.not_ready_seconds, server.should_exit, server.shutdown_state.has_begun) == (seconds, True, True)
