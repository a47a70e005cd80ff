"""The status, headers and bodies of the application's responses, without a server."""

import asyncio
import json
import logging
import re
from functools import partial

import numpy as np
import pytest

from tests.fitted import fit_both
from tests.serving.asgi_client import send_request
from titles.serving.app import MAX_BODY_BYTES, create_app
from titles.serving.loaded_model import load_model
from titles.serving.middleware.shutdown import ShutdownState
from titles.serving.service import MAX_QUEUED_CHARACTERS, Service

ONE = {"titles": ["palabra1"], "top": 1}
GETS = ["/", "/model", "/health", "/ready", "/metrics", "/openapi.json", "/docs", "/page/page.js"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return fit_both(tmp_path_factory.mktemp("fitted"))


@pytest.fixture(scope="module")
def model(models):
    return load_model(models, None)


@pytest.fixture
def service(model):
    return Service(lambda: model)


@pytest.fixture
def shutdown():
    return ShutdownState()


@pytest.fixture
def app(service, shutdown):
    return create_app(service, shutdown)


@pytest.fixture
def send(service):
    """Send a request while the service processes its queue; return the response."""
    with asyncio.Runner() as runner:
        processing = service.batcher.running()
        runner.run(processing.__aenter__())
        yield lambda *arguments, **options: runner.run(send_request(*arguments, **options))
        runner.run(processing.__aexit__(None, None, None))


@pytest.mark.parametrize(
    ("content_type", "message"),
    [(None, "is missing"), ("text/plain", "is text/plain"), ("application/xml; a=b", "is application")],
)
@pytest.mark.parametrize(("path", "content"), [("/predict", ONE), ("/explain", {"title": "a"}), ("/predict", "")])
def test_a_missing_or_wrong_content_type_is_415_and_named(app, path, content, content_type, message, send):
    response = send(app, "POST", path, content, {"content-type": content_type})
    assert response.status == 415
    assert response.json["detail"].startswith(f"the header Content-Type {message}")


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
def test_the_content_type_may_have_a_charset_and_any_case(app, content_type, send):
    assert send(app, "POST", "/predict", ONE, {"content-type": content_type}).status == 200


@pytest.mark.parametrize("path", GETS)
def test_head_responds_like_get(app, path, send):
    get, head = (send(app, method, path) for method in ("GET", "HEAD"))
    assert (head.status, head.headers["content-type"]) == (200, get.headers["content-type"])


def test_head_is_counted_by_the_path_of_its_route(app, send):
    send(app, "HEAD", "/model")
    assert 'titles_requests_total{path="/model",status="200"} 1.0' in send(app, "GET", "/metrics").body.decode()


@pytest.mark.parametrize("top", [True, "3", 3.0, None, 0, 21])
def test_top_must_be_an_integer_in_range(app, top, send):
    response = send(app, "POST", "/predict", ONE | {"top": top})
    assert (response.status, response.json["detail"][0]["loc"]) == (422, ["body", "top"])


HOSTS = [
    "127.0.0.1",
    "127.0.0.1:8000",
    "localhost",
    "LOCALHOST:9",
    "Shop.example.org:80",
    "shop.example.org.",
    "[::2]:8",
]


@pytest.mark.parametrize("host", HOSTS)
def test_the_address_of_the_server_and_allowed_hosts_are_accepted(service, shutdown, host, send):
    app = create_app(service, shutdown, ["0.0.0.0", "shop.example.org", "::2"])
    assert send(app, "GET", "/health", headers={"host": host}).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example.org", "127.0.0.1.evil.example.org", "a@127.0.0.2", "", "[", "127.0.0.2"]
)
def test_any_other_host_is_refused(app, host, send):
    response = send(app, "GET", "/health", headers={"host": host})
    assert (response.status, response.headers["connection"]) == (421, "close")
    assert f"the header Host is {host!r}; allowed: 127.0.0.1, localhost; " in response.json["detail"]


def test_a_request_without_a_host_is_refused(app, send):
    response = send(app, "GET", "/health", headers={"host": None})
    assert (response.status, "Host is missing" in response.json["detail"]) == (421, True)


@pytest.mark.parametrize(
    ("method", "path", "content", "headers", "status"),
    [
        ("GET", "/health", None, {}, 200),
        ("GET", "/nowhere", None, {}, 404),
        ("POST", "/predict", ONE, {}, 200),
        ("POST", "/predict", {}, {}, 422),
        ("POST", "/predict", None, {}, 415),
        ("GET", "/health", None, {"host": "evil"}, 421),
        ("GET", "/page/page.css", None, {}, 200),
    ],
)
def test_every_response_names_the_model_and_has_a_request_id(
    app, service, method, path, content, headers, status, send
):
    response = send(app, method, path, content, headers)
    assert response.status == status
    assert {key: response.headers[f"x-model-{key}"] for key in ("name", "version", "hash")} == service.model.identity
    assert re.fullmatch("[0-9a-f]{32}", response.headers["x-request-id"])
    assert response.headers["content-security-policy"].startswith("default-src 'self'")


def test_an_exception_is_500_with_a_request_id_and_no_details(app, service, monkeypatch, send):
    monkeypatch.setattr(service.model.classifier, "top_k_per_network", lambda *_: 1 / 0)
    response = send(catch_error(app), "POST", "/predict", ONE)
    assert (response.status, response.json) == (500, {"detail": "the server failed; its log says why"})
    assert len(response.headers["x-request-id"]) == 32


def catch_error(app):
    """The application with its exception caught, as by a server."""

    async def caught(*arguments):
        with pytest.raises(ZeroDivisionError):
            await app(*arguments)

    return caught


@pytest.mark.parametrize(
    ("request_id", "is_accepted"), [("a1-b2", True), ("a b", False), ("x" * 129, False), ("ñ", False)]
)
def test_the_request_id_of_a_proxy_is_accepted_if_it_has_no_special_characters(app, request_id, is_accepted, send):
    response = send(app, "GET", "/health", headers={"x-request-id": request_id})
    assert (response.headers["x-request-id"] == request_id) == is_accepted


def test_predictions_and_explanations_name_the_model(app, service, send):
    for path, content in (("/predict", ONE), ("/explain", {"title": "palabra1"})):
        assert send(app, "POST", path, content).json["model"] == service.model.identity


def test_model_returns_commit_categories_and_thresholds(app, service, send):
    model = service.model
    assert send(app, "GET", "/model").json == model.identity | {
        "commit": None,
        "networks": ["cnn", "mlp"],
        "categories": model.classifier.categories.tolist(),
        "words": 40,
        "thresholds": model.thresholds,
    }


def test_metrics_have_the_model_confidences_and_latencies_up_to_a_minute(app, service, send):
    send(app, "POST", "/predict", {"titles": ["palabra1", "palabra2"]})
    metrics = send(app, "GET", "/metrics").body.decode()
    identity = ",".join(f'{key}="{value}"' for key, value in sorted(service.model.identity.items()))
    assert f"titles_model_info{{{identity}}} 1.0" in metrics
    for network in ("cnn", "mlp", "mean"):
        assert f'titles_confidence_bucket{{le="1.0",network="{network}"}} 2.0' in metrics
    assert 'titles_request_seconds_bucket{le="60.0",path="/predict"} 1.0' in metrics
    assert "titles_waiting_characters 0.0" in metrics


def test_a_title_without_a_score_is_not_in_the_histogram_of_scores(app, service, send):
    labels, scores = np.zeros((2, 1), np.int64), np.array([[0.25], [np.nan]], np.float32)
    service.metrics.observe_batch({"mlp": (labels, scores)})
    metrics = send(app, "GET", "/metrics").body.decode()
    assert 'titles_confidence_count{network="mlp"} 1.0' in metrics
    assert 'titles_confidence_sum{network="mlp"} 0.25' in metrics
    assert "titles_batch_titles_sum 2.0" in metrics


@pytest.mark.parametrize("access_log", [True, False])
def test_the_access_log_has_a_line_per_response_if_it_is_enabled(service, shutdown, caplog, access_log, send):
    app = create_app(service, shutdown, access_log=access_log)
    with caplog.at_level(logging.INFO, "titles.access"):
        response = send(app, "POST", "/predict", {"titles": ["palabra1", "a"]})
        send(app, "HEAD", "/nowhere\r\nforged")
    lines = [json.loads(record.getMessage()) for record in caplog.records if record.name == "titles.access"]
    if not access_log:
        assert lines == []
        return
    first, second = lines
    assert (first["method"], first["path"], first["status"], first["titles"]) == ("POST", "/predict", 200, 2)
    assert (first["client"], first["model"]) == ("127.0.0.1", service.model.hash)
    assert first["request_id"] == response.headers["x-request-id"]
    assert (second["method"], second["path"], second["status"]) == ("HEAD", "/nowhere\r\nforged", 404)
    assert "palabra1" not in caplog.text


@pytest.mark.parametrize("length", [None, str(MAX_BODY_BYTES + 1)])
def test_a_body_that_is_too_long_is_413(app, length, send):
    received = []

    async def receive():
        received.append(1 << 16)
        return {"type": "http.request", "body": b" " * (1 << 16), "more_body": True}

    response = send(app, "POST", "/predict", headers={"content-length": length}, receive=receive)
    assert (response.status, response.headers["connection"]) == (413, "close")
    # With a Content-Length, nothing is read.
    assert sum(received) == (0 if length else MAX_BODY_BYTES + (1 << 16))


def test_a_body_in_several_messages_is_joined(app, send):
    body = json.dumps(ONE).encode()
    pieces = [{"type": "http.request", "body": body[at : at + 5], "more_body": True} for at in range(0, len(body), 5)]
    pieces.append({"type": "http.request", "more_body": False})

    async def receive():
        return pieces.pop(0)

    headers = {"content-type": "application/json"}
    assert send(app, "POST", "/predict", headers=headers, receive=receive).status == 200


def test_a_client_that_disconnects_before_the_body_ends_gets_no_response(app, send):
    async def receive():
        return {"type": "http.disconnect"}

    assert send(app, "POST", "/predict", receive=receive).status == 0
    assert 'status="499"} 1.0' in send(app, "GET", "/metrics").body.decode()


async def never():
    await asyncio.Event().wait()


def test_a_slow_body_is_408(app, monkeypatch, send):
    loop_time = asyncio.BaseEventLoop.time
    waits = []

    async def receive():
        # Advance the clock of the event loop by eleven seconds.
        monkeypatch.setattr(asyncio.BaseEventLoop, "time", lambda loop: loop_time(loop) + 11)
        waits.append("body")
        await never()

    response = send(app, "POST", "/predict", receive=receive)
    assert (response.status, response.headers["connection"]) == (408, "close")
    assert response.json["detail"] == "the body was not received within 10 s; send the request again"
    assert waits == ["body"]


def test_the_read_deadline_of_the_shutdown_ends_the_wait_for_a_body(app, service, shutdown):
    async def response():
        is_waiting = asyncio.Event()

        async def receive():
            is_waiting.set()
            await never()

        early = asyncio.create_task(send_request(app, "POST", "/predict", receive=receive))
        await is_waiting.wait()
        shutdown.begin()
        shutdown.set_read_deadline(asyncio.get_running_loop().time())
        return await early, await send_request(app, "POST", "/predict", receive=never)

    assert [one.status for one in asyncio.run(response())] == [408, 408]


def test_during_shutdown_the_server_is_not_ready_but_responds_and_closes_connections(app, shutdown, send):
    assert "connection" not in send(app, "GET", "/ready").headers
    shutdown.begin()
    ready, predicted = (send(app, *request) for request in (("GET", "/ready"), ("POST", "/predict", ONE)))
    assert (ready.status, ready.json["detail"]) == (503, "the server is ending; ask another one")
    assert (predicted.status, predicted.headers["connection"]) == (200, "close")


def test_an_overloaded_server_is_not_ready_and_sends_retry_after(app, service, send):
    with service.batcher.admit(MAX_QUEUED_CHARACTERS):
        for request in (("GET", "/ready"), ("POST", "/predict", ONE), ("POST", "/explain", {"title": "a"})):
            response = send(app, *request)
            assert (response.status, response.headers["retry-after"]) == (503, "1")


def test_a_request_cancelled_by_the_shutdown_gets_503(app, service, shutdown):
    async def response():
        # Nothing is predicted, because the context of `batcher.running` is not entered.
        request = asyncio.create_task(send_request(app, "POST", "/predict", ONE))
        while not service.batcher.work:
            await asyncio.sleep(0)
        shutdown.begin()
        request.cancel()
        return await request

    response = asyncio.run(response())
    assert (response.status, response.headers["connection"]) == (503, "close")
    assert service.batcher.work == 0


def test_reload_is_off_by_default(app, service, shutdown, models, monkeypatch, send):
    assert send(app, "POST", "/reload", {}).status == 404
    app = create_app(service, shutdown, allow_reload=True)
    monkeypatch.setattr(service, "load", partial(load_model, models / "mlp", None))
    response = send(app, "POST", "/reload", {})
    assert (response.status, response.json) == (200, service.model.identity)
    assert send(app, "GET", "/model").json["networks"] == ["mlp"]
    # After a reload, only the model in use has an info metric.
    assert send(app, "GET", "/metrics").body.decode().count("titles_model_info{") == 1


def test_a_page_of_another_site_cannot_make_it_reload(service, shutdown, send):
    # Browsers send a POST with the content type of a form without a preflight.
    app = create_app(service, shutdown, allow_reload=True)
    assert send(app, "POST", "/reload", headers={"content-type": "text/plain"}).status == 415


def test_if_the_reload_fails_the_error_is_returned_and_the_old_model_stays_in_use(
    service, shutdown, models, monkeypatch, send
):
    app = create_app(service, shutdown, allow_reload=True)
    monkeypatch.setattr(service, "load", partial(load_model, models / "nowhere", None))
    response = send(app, "POST", "/reload", {})
    assert (response.status, response.json["detail"].split("; ")[0]) == (409, f"{models / 'nowhere'} holds no network")
    assert send(app, "POST", "/predict", ONE).status == 200
