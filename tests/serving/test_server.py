"""The server's end, with every step held until the test has seen what it leads to."""

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


class Served:
    """A server of a small application on a free port, within the event loop of the test.

    GET /held is answered once `may_answer` is set; `not_ready` and `accepting` hold the server's end before it closes
    its listeners, and before it waits for its connections.
    """

    def __init__(self, seconds: float = 60.0) -> None:
        self.shutdown, self.is_held, self.may_answer = ShutdownState(), asyncio.Event(), asyncio.Event()
        self.not_ready, self.is_not_ready = asyncio.Event(), asyncio.Event()
        app = BodyLimitMiddleware(self.answer, 1000, 60.0, self.shutdown)
        app = ResponseHeadersMiddleware(ShutdownMiddleware(app, self.shutdown), dict, self.shutdown)
        config = uvicorn.Config(app, port=0, http=Connection, ws="none", lifespan="off", log_config=None)
        self.server = Server(config, self.shutdown, seconds)
        self.server._wait_not_ready = self.wait

    async def answer(self, scope, _receive, send) -> None:
        if scope["path"] == "/held":
            self.is_held.set()
            await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async def wait(self) -> None:
        self.is_not_ready.set()
        await self.not_ready.wait()

    async def start(self) -> None:
        # Without uvicorn's handling of signals, which would be sent to the tests in the end.
        self.task = asyncio.create_task(self.server._serve())
        while not self.server.started:
            await asyncio.sleep(0)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]

    def connect(self):
        return asyncio.open_connection("127.0.0.1", self.port)


def run(test, **options):
    async def tested():
        served = Served(**options)
        await served.start()
        await test(served)
        await served.task

    asyncio.run(asyncio.wait_for(tested(), 60))


def test_it_answers_while_it_is_not_ready_then_accepts_no_more_and_answers_whom_it_admitted():
    async def test(served):
        reader, writer = await served.connect()
        writer.write(GET % b"held")
        await served.is_held.wait()
        served.server.handle_exit(signal.SIGTERM, None)
        await served.is_not_ready.wait()
        assert served.shutdown.has_begun
        late_reader, late_writer = await served.connect()
        late_writer.write(GET % b"")
        # Until the server closes it.
        late = await late_reader.read()
        assert late.startswith(b"HTTP/1.1 200") and b"connection: close" in late
        served.not_ready.set()
        while served.server.servers[0].is_serving():
            await asyncio.sleep(0)
        with pytest.raises(ConnectionRefusedError):
            await served.connect()
        served.may_answer.set()
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"ok")

    run(test)


def test_a_client_that_waits_to_be_accepted_is_answered_and_not_reset():
    async def test(served):
        # The system connects them; the server, whose turn has not come, knows nothing of them.
        clients = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(20)]
        await served.server._close_listeners()
        for client in clients:
            client.setblocking(False)
            await asyncio.get_running_loop().sock_sendall(client, GET % b"")
        for client in clients:
            answer = await asyncio.get_running_loop().sock_recv(client, 1000)
            assert answer.startswith(b"HTTP/1.1 200")
            client.close()
        served.not_ready.set()
        served.server.handle_exit(signal.SIGTERM, None)

    run(test)


def test_a_request_on_its_way_over_a_connection_at_rest_is_answered():
    async def test(served):
        reader, writer = await served.connect()
        writer.write(GET % b"")
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        (connection,) = served.server.server_state.connections
        served.shutdown.begin()
        connection.shutdown()
        writer.write(GET % b"")
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200") and b"connection: close" in answer
        served.not_ready.set()
        served.server.handle_exit(signal.SIGTERM, None)

    run(test)


def test_a_half_sent_body_ends_with_408_and_does_not_keep_the_server():
    async def test(served):
        reader, writer = await served.connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
        while not served.shutdown._timeouts:
            await asyncio.sleep(0)
        served.not_ready.set()
        served.server.handle_exit(signal.SIGTERM, None)
        assert (await reader.read()).startswith(b"HTTP/1.1 408")

    run(test, seconds=4.0)


@pytest.mark.parametrize("sent", [b"", b"GET /half"])
def test_a_connection_without_a_whole_request_does_not_keep_the_server(sent):
    async def test(served):
        reader, writer = await served.connect()
        writer.write(sent)
        while not served.server.server_state.connections:
            await asyncio.sleep(0)
        served.not_ready.set()
        served.server.handle_exit(signal.SIGTERM, None)
        assert await reader.read() == b""

    run(test)


def test_what_cannot_be_answered_in_time_gets_503_and_no_traceback(caplog):
    async def test(served):
        reader, writer = await served.connect()
        writer.write(GET % b"held")
        await served.is_held.wait()
        served.not_ready.set()
        served.server.handle_exit(signal.SIGTERM, None)
        assert (await reader.read()).startswith(b"HTTP/1.1 503")

    run(test, seconds=2.0)
    assert "Traceback" not in caplog.text


def test_a_head_that_does_not_come_closes_the_connection(monkeypatch):
    monkeypatch.setattr("titles.serving.server.HEADER_TIMEOUT_SECONDS", 0.0)

    async def test(served):
        for sent in (b"", b"GET /half"):
            reader, writer = await served.connect()
            with contextlib.suppress(ConnectionError):
                writer.write(sent)
                assert await reader.read() == b""
        served.not_ready.set()
        served.server.handle_exit(signal.SIGTERM, None)

    run(test)


@pytest.mark.parametrize(("sent", "seconds"), [(signal.SIGTERM, 2.0), (signal.SIGINT, 0.0)])
def test_only_a_service_manager_is_given_time_to_see_that_it_is_not_ready(sent, seconds):
    server = Server(uvicorn.Config(None, port=free_port()), ShutdownState(), 10.0)
    server.handle_exit(sent, None)
    assert (server.not_ready_seconds, server.should_exit, server.shutdown_state.has_begun) == (seconds, True, True)
