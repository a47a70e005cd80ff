"""The application without a server: what stands in an answer's status, headers and body."""

import asyncio
import json
import logging
import re
from functools import partial

import numpy as np
import pytest

from tests.fitted import fit_both
from tests.serving.asgi_client import ask
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
def answered(service):
    """The answer to a request, while the service's batches are answered."""
    with asyncio.Runner() as runner:
        answering = service.batcher.running()
        runner.run(answering.__aenter__())
        yield lambda *arguments, **options: runner.run(ask(*arguments, **options))
        runner.run(answering.__aexit__(None, None, None))


@pytest.mark.parametrize(
    ("sent", "told"),
    [(None, "is missing"), ("text/plain", "is text/plain"), ("application/xml; a=b", "is application")],
)
@pytest.mark.parametrize(("path", "content"), [("/predict", ONE), ("/explain", {"title": "a"}), ("/predict", "")])
def test_a_missing_or_wrong_content_type_is_415_and_named(app, path, content, sent, told, answered):
    answer = answered(app, "POST", path, content, {"content-type": sent})
    assert answer.status == 415
    assert answer.json["detail"].startswith(f"the header Content-Type {told}")


@pytest.mark.parametrize("sent", ["application/json; charset=utf-8", "Application/JSON"])
def test_json_may_name_its_charset_in_any_case(app, sent, answered):
    assert answered(app, "POST", "/predict", ONE, {"content-type": sent}).status == 200


@pytest.mark.parametrize("path", GETS)
def test_head_answers_as_get_does(app, path, answered):
    get, head = (answered(app, method, path) for method in ("GET", "HEAD"))
    assert (head.status, head.headers["content-type"]) == (200, get.headers["content-type"])


def test_head_is_counted_by_the_path_of_its_route(app, answered):
    answered(app, "HEAD", "/model")
    assert 'titles_requests_total{path="/model",status="200"} 1.0' in answered(app, "GET", "/metrics").body.decode()


@pytest.mark.parametrize("top", [True, "3", 3.0, None, 0, 21])
def test_top_is_a_whole_number(app, top, answered):
    answer = answered(app, "POST", "/predict", ONE | {"top": top})
    assert (answer.status, answer.json["detail"][0]["loc"]) == (422, ["body", "top"])


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
def test_the_address_of_the_server_and_an_allowed_host_are_answered(service, shutdown, host, answered):
    app = create_app(service, shutdown, ["0.0.0.0", "shop.example.org", "::2"])
    assert answered(app, "GET", "/health", headers={"host": host}).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example.org", "127.0.0.1.evil.example.org", "a@127.0.0.2", "", "[", "127.0.0.2"]
)
def test_any_other_host_is_refused_and_named(app, host, answered):
    answer = answered(app, "GET", "/health", headers={"host": host})
    assert (answer.status, answer.headers["connection"]) == (421, "close")
    assert f"the header Host is {host!r}; allowed: 127.0.0.1, localhost; " in answer.json["detail"]


def test_a_request_without_a_host_is_refused(app, answered):
    answer = answered(app, "GET", "/health", headers={"host": None})
    assert (answer.status, "Host is missing" in answer.json["detail"]) == (421, True)


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
def test_every_answer_names_the_model_and_has_a_request_id(
    app, service, method, path, content, headers, status, answered
):
    answer = answered(app, method, path, content, headers)
    assert answer.status == status
    assert {key: answer.headers[f"x-model-{key}"] for key in ("name", "version", "hash")} == service.model.identity
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])
    assert answer.headers["content-security-policy"].startswith("default-src 'self'")


def test_a_failure_is_500_with_a_request_id_and_no_more(app, service, monkeypatch, answered):
    monkeypatch.setattr(service.model.classifier, "top_k_per_network", lambda *_: 1 / 0)
    answer = answered(suppressed(app), "POST", "/predict", ONE)
    assert (answer.status, answer.json) == (500, {"detail": "the server failed; its log says why"})
    assert len(answer.headers["x-request-id"]) == 32


def suppressed(app):
    """The application as a server has it, which logs its errors."""

    async def logged(*arguments):
        with pytest.raises(ZeroDivisionError):
            await app(*arguments)

    return logged


@pytest.mark.parametrize(("sent", "is_kept"), [("a1-b2", True), ("a b", False), ("x" * 129, False), ("ñ", False)])
def test_the_request_id_of_a_proxy_is_kept_where_it_is_plain(app, sent, is_kept, answered):
    answer = answered(app, "GET", "/health", headers={"x-request-id": sent})
    assert (answer.headers["x-request-id"] == sent) == is_kept


def test_predictions_and_explanations_name_the_model(app, service, answered):
    for path, content in (("/predict", ONE), ("/explain", {"title": "palabra1"})):
        assert answered(app, "POST", path, content).json["model"] == service.model.identity


def test_what_answers_is_told_with_its_commit_categories_and_thresholds(app, service, answered):
    model = service.model
    assert answered(app, "GET", "/model").json == model.identity | {
        "commit": None,
        "networks": ["cnn", "mlp"],
        "categories": model.classifier.categories.tolist(),
        "words": 40,
        "thresholds": model.thresholds,
    }


def test_metrics_have_the_model_how_sure_it_is_and_latencies_up_to_a_minute(app, service, answered):
    answered(app, "POST", "/predict", {"titles": ["palabra1", "palabra2"]})
    metrics = answered(app, "GET", "/metrics").body.decode()
    identity = ",".join(f'{key}="{value}"' for key, value in sorted(service.model.identity.items()))
    assert f"titles_model_info{{{identity}}} 1.0" in metrics
    for network in ("cnn", "mlp", "mean"):
        assert f'titles_confidence_bucket{{le="1.0",network="{network}"}} 2.0' in metrics
    assert 'titles_request_seconds_bucket{le="60.0",path="/predict"} 1.0' in metrics
    assert "titles_waiting_characters 0.0" in metrics


def test_a_title_without_a_score_is_in_no_histogram_of_scores(app, service, answered):
    labels, scores = np.zeros((2, 1), np.int64), np.array([[0.25], [np.nan]], np.float32)
    service.metrics.observe_batch({"mlp": (labels, scores)})
    metrics = answered(app, "GET", "/metrics").body.decode()
    assert 'titles_confidence_count{network="mlp"} 1.0' in metrics
    assert 'titles_confidence_sum{network="mlp"} 0.25' in metrics
    assert "titles_batch_titles_sum 2.0" in metrics


@pytest.mark.parametrize("is_asked_for", [True, False])
def test_the_access_log_has_a_line_for_every_answer_where_it_is_asked_for(
    service, shutdown, caplog, is_asked_for, answered
):
    app = create_app(service, shutdown, access_log=is_asked_for)
    with caplog.at_level(logging.INFO, "titles.access"):
        answer = answered(app, "POST", "/predict", {"titles": ["palabra1", "a"]})
        answered(app, "HEAD", "/nowhere\r\nforged")
    lines = [json.loads(record.getMessage()) for record in caplog.records if record.name == "titles.access"]
    if not is_asked_for:
        assert lines == []
        return
    first, second = lines
    assert (first["method"], first["path"], first["status"], first["titles"]) == ("POST", "/predict", 200, 2)
    assert (first["client"], first["model"]) == ("127.0.0.1", service.model.hash)
    assert first["request_id"] == answer.headers["x-request-id"]
    assert (second["method"], second["path"], second["status"]) == ("HEAD", "/nowhere\r\nforged", 404)
    assert "palabra1" not in caplog.text


@pytest.mark.parametrize("length", [None, str(MAX_BODY_BYTES + 1)])
def test_a_body_that_is_too_long_is_413(app, length, answered):
    received = []

    async def receive():
        received.append(1 << 16)
        return {"type": "http.request", "body": b" " * (1 << 16), "more_body": True}

    answer = answered(app, "POST", "/predict", headers={"content-length": length}, receive=receive)
    assert (answer.status, answer.headers["connection"]) == (413, "close")
    # Of one that says how long it is, nothing is read.
    assert sum(received) == (0 if length else MAX_BODY_BYTES + (1 << 16))


def test_a_body_that_comes_in_pieces_is_put_together(app, answered):
    body = json.dumps(ONE).encode()
    pieces = [{"type": "http.request", "body": body[at : at + 5], "more_body": True} for at in range(0, len(body), 5)]
    pieces.append({"type": "http.request", "more_body": False})

    async def receive():
        return pieces.pop(0)

    headers = {"content-type": "application/json"}
    assert answered(app, "POST", "/predict", headers=headers, receive=receive).status == 200


def test_whoever_goes_before_the_body_ends_gets_no_answer(app, answered):
    async def receive():
        return {"type": "http.disconnect"}

    assert answered(app, "POST", "/predict", receive=receive).status == 0
    assert 'status="499"} 1.0' in answered(app, "GET", "/metrics").body.decode()


async def never():
    await asyncio.Event().wait()


def test_a_slow_body_is_408(app, monkeypatch, answered):
    loop_time = asyncio.BaseEventLoop.time
    waits = []

    async def receive():
        # Eleven seconds later by the clock of the event loop.
        monkeypatch.setattr(asyncio.BaseEventLoop, "time", lambda loop: loop_time(loop) + 11)
        waits.append("body")
        await never()

    answer = answered(app, "POST", "/predict", receive=receive)
    assert (answer.status, answer.headers["connection"]) == (408, "close")
    assert answer.json["detail"] == "the body was not received within 10 s; send the request again"
    assert waits == ["body"]


def test_a_body_on_its_way_is_waited_for_no_longer_than_the_end_of_the_server_allows(app, service, shutdown):
    async def answer():
        is_waiting = asyncio.Event()

        async def receive():
            is_waiting.set()
            await never()

        early = asyncio.create_task(ask(app, "POST", "/predict", receive=receive))
        await is_waiting.wait()
        shutdown.begin()
        shutdown.set_read_deadline(asyncio.get_running_loop().time())
        return await early, await ask(app, "POST", "/predict", receive=never)

    assert [one.status for one in asyncio.run(answer())] == [408, 408]


def test_once_the_server_is_to_end_it_is_not_ready_but_answers_and_closes_connections(app, shutdown, answered):
    assert "connection" not in answered(app, "GET", "/ready").headers
    shutdown.begin()
    ready, predicted = (answered(app, *request) for request in (("GET", "/ready"), ("POST", "/predict", ONE)))
    assert (ready.status, ready.json["detail"]) == (503, "the server is ending; ask another one")
    assert (predicted.status, predicted.headers["connection"]) == (200, "close")


def test_it_is_not_ready_while_too_much_waits_and_says_when_to_ask_again(app, service, answered):
    with service.batcher.admit(MAX_QUEUED_CHARACTERS):
        for request in (("GET", "/ready"), ("POST", "/predict", ONE), ("POST", "/explain", {"title": "a"})):
            answer = answered(app, *request)
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")


def test_what_is_given_up_at_the_end_is_answered_503(app, service, shutdown):
    async def answer():
        # Nobody answers, as `answering` is not entered.
        asked = asyncio.create_task(ask(app, "POST", "/predict", ONE))
        while not service.batcher.work:
            await asyncio.sleep(0)
        shutdown.begin()
        asked.cancel()
        return await asked

    answer = asyncio.run(answer())
    assert (answer.status, answer.headers["connection"]) == (503, "close")
    assert service.batcher.work == 0


def test_reload_is_off_unless_it_is_asked_for(app, service, shutdown, models, monkeypatch, answered):
    assert answered(app, "POST", "/reload", {}).status == 404
    app = create_app(service, shutdown, allow_reload=True)
    monkeypatch.setattr(service, "load", partial(load_model, models / "mlp", None))
    answer = answered(app, "POST", "/reload", {})
    assert (answer.status, answer.json) == (200, service.model.identity)
    assert answered(app, "GET", "/model").json["networks"] == ["mlp"]
    # Of two models, only the one that answers has the information.
    assert answered(app, "GET", "/metrics").body.decode().count("titles_model_info{") == 1


def test_a_page_of_another_site_cannot_make_it_reload(service, shutdown, answered):
    # Browsers send a POST without asking first, unless its content type is another than those of a form.
    app = create_app(service, shutdown, allow_reload=True)
    assert answered(app, "POST", "/reload", headers={"content-type": "text/plain"}).status == 415


def test_a_model_that_cannot_be_reloaded_is_told_and_the_old_one_answers(
    service, shutdown, models, monkeypatch, answered
):
    app = create_app(service, shutdown, allow_reload=True)
    monkeypatch.setattr(service, "load", partial(load_model, models / "nowhere", None))
    answer = answered(app, "POST", "/reload", {})
    assert (answer.status, answer.json["detail"].split("; ")[0]) == (409, f"{models / 'nowhere'} holds no network")
    assert answered(app, "POST", "/predict", ONE).status == 200
