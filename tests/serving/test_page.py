"""`titles serve`, used by HTTP clients and a browser."""

import asyncio
import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import pandas as pd
import psutil
import pytest
import requests
from playwright.sync_api import Page, expect

from benchmarks.load import latencies
from tests.fitted import fit_both
from tests.servers import TitlesServer
from titles.inference.classifier import Classifier
from titles.serving.app import MAX_BODY_BYTES
from titles.serving.schemas import MAX_TITLE_CHARACTERS, MAX_TITLES

pytestmark = pytest.mark.services

TITLES = ["Palabra1 palabra5", "palabra2", "", '=«"palabra3"», palabra4']


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fit_both(tmp_path_factory.mktemp("fitted"))


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[TitlesServer]:
    started = TitlesServer(models, models / "log")
    started.start()
    yield started
    assert started.stop() == 0


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., TitlesServer]]:
    """Start a server for one test."""
    servers: list[TitlesServer] = []

    def start(model: Path, *options: str) -> TitlesServer:
        servers.append(TitlesServer(model, tmp_path / "log", *options))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        server.process.kill()
        server.process.wait()


def post(server: TitlesServer, path: str, content: object) -> requests.Response:
    return requests.post(f"{server.uri}/{path}", json=content, timeout=60)


def test_predict_returns_the_categories_by_each_network_and_by_their_mean(server: TitlesServer, models: Path) -> None:
    response = post(server, "predict", {"titles": TITLES, "top": 2}).json()["predictions"]
    assert [prediction["title"] for prediction in response] == TITLES
    for network, folder in {"cnn": models / "cnn", "mlp": models / "mlp", "mean": models}.items():
        expected = Classifier.load(folder).predict(TITLES, top=2).dropna(subset="category")
        found = [scored for prediction in response for scored in prediction["networks"][network]]
        assert [scored["category"] for scored in found] == expected.category.tolist()
        assert [scored["score"] for scored in found] == pytest.approx(expected.score.tolist(), abs=1e-5)


def test_a_title_without_a_usable_word_has_a_reason_and_no_category(server: TitlesServer) -> None:
    titles = ["palabra1", "", "電話", " 👍 "]
    response = post(server, "predict", {"titles": titles}).json()["predictions"]
    reasons = [None, "no title", "no Latin letter or digit", "no Latin letter or digit"]
    assert [prediction["reason"] for prediction in response] == reasons
    no_categories: dict[str, list[object]] = {"cnn": [], "mlp": [], "mean": []}
    assert [prediction["networks"] == no_categories for prediction in response] == [False, True, True, True]


def test_concurrent_requests_get_their_own_predictions(server: TitlesServer, models: Path) -> None:
    titles = [f"palabra{number % 40} palabra{number % 7}" for number in range(200)]
    with ThreadPoolExecutor(32) as threads:
        responses = list(
            threads.map(lambda title: post(server, "predict", {"titles": [title], "top": 1}).json(), titles)
        )
    found = [response["predictions"][0]["networks"]["mean"][0]["category"] for response in responses]
    assert found == Classifier.load(models).predict(titles).category.tolist()


@pytest.mark.parametrize("clients", [1, 8, 64])
def test_under_load_every_request_is_answered(server: TitlesServer, clients: int) -> None:
    # Raises if a response is not 200.
    took = asyncio.run(latencies(server.uri, TITLES, clients, batch_size=3, seconds=2.0))
    assert len(took) >= clients


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("predict", {"titles": []}, "at least 1 item"),
        ("predict", {"titles": ["a"] * (MAX_TITLES + 1)}, f"at most {MAX_TITLES} items"),
        ("predict", {"titles": ["a" * (MAX_TITLE_CHARACTERS + 1)]}, f"at most {MAX_TITLE_CHARACTERS} characters"),
        ("predict", {"titles": ["a"], "top": 0}, "greater than or equal to 1"),
        ("predict", {"titles": ["a"], "top": True}, "valid integer"),
        ("predict", {"titles": ["a"], "top": "3"}, "valid integer"),
        ("predict", {"titles": ["a"], "tops": 3}, "Extra inputs are not permitted"),
        ("predict", {"titles": ["\ud800"]}, "unable to parse raw data as a unicode string"),
        ("explain", {"title": 7}, "valid string"),
    ],
)
def test_an_invalid_request_is_explained(server: TitlesServer, path: str, content: object, message: str) -> None:
    response = post(server, path, content)
    assert response.status_code == 422
    assert message in response.json()["detail"][0]["msg"]


@pytest.mark.parametrize("has_length", [True, False])
def test_a_body_that_is_too_long_is_refused(server: TitlesServer, has_length: bool) -> None:
    body = b" " * (MAX_BODY_BYTES + 1)
    headers = {"Content-Type": "application/json"}
    data = body if has_length else iter([body[:1000], body[1000:]])
    response = requests.post(f"{server.uri}/predict", data=data, headers=headers, timeout=60)
    assert response.status_code == 413
    assert "send fewer titles" in response.json()["detail"]


def test_the_body_of_a_get_request_is_ignored(server: TitlesServer) -> None:
    response = requests.get(server.uri, data=iter([b"x" * 1000, b"x" * (MAX_BODY_BYTES + 1)]), timeout=60)
    assert (response.status_code, "<h1" in response.text) in [(200, True), (413, False)]
    assert requests.head(server.uri, timeout=60).status_code == 200


def test_other_requests_are_answered_while_large_responses_are_written(server: TitlesServer) -> None:
    large = {"titles": ["palabra1"] * MAX_TITLES, "top": 20}
    with ThreadPoolExecutor(20) as threads:
        waiting = [threads.submit(post, server, "predict", large) for _ in range(20)]
        while not all(request.done() for request in waiting):
            assert requests.get(f"{server.uri}/health", timeout=60).status_code == 200
    assert {request.result().status_code for request in waiting} == {200}


def test_health_ready_and_metrics(server: TitlesServer) -> None:
    post(server, "predict", {"titles": ["palabra1"] * 3})
    for path, status in (("health", "alive"), ("ready", "ready")):
        assert requests.get(f"{server.uri}/{path}", timeout=60).json() == {"status": status}
    metrics = requests.get(f"{server.uri}/metrics", timeout=60).text
    assert re.search(r'titles_requests_total{path="/predict",status="200"} [1-9]', metrics)
    assert re.search(r'titles_request_seconds_bucket{le="[\d.]+",path="/predict"} [1-9]', metrics)


@pytest.mark.parametrize("path", ["", "model", "health", "ready", "metrics", "openapi.json", "docs", "page/page.js"])
def test_head_gets_the_headers_of_get_and_no_body(server: TitlesServer, path: str) -> None:
    response = requests.head(f"{server.uri}/{path}", timeout=60)
    assert (response.status_code, response.content) == (200, b"")


def test_by_default_the_server_listens_on_loopback_only(server: TitlesServer) -> None:
    listening = [one for one in psutil.Process(server.process.pid).net_connections() if one.status == "LISTEN"]
    assert [(one.laddr.ip, one.laddr.port) for one in listening] == [("127.0.0.1", server.port)]


def test_the_shutdown_does_not_wait_for_an_incomplete_body(models: Path, started: Callable[..., TitlesServer]) -> None:
    ending = started(models)
    half = HTTPConnection("127.0.0.1", ending.port, timeout=60)
    half.putrequest("POST", "/predict")
    half.putheader("Content-Length", "100")
    # The server sends 100 once the application reads the body.
    half.putheader("Expect", "100-continue")
    half.endheaders()
    assert half.sock.recv(1000).startswith(b"HTTP/1.1 100")
    ending.process.terminate()
    response = half.getresponse()
    assert (response.status, "body was not received" in json.load(response)["detail"]) == (408, True)
    assert ending.process.wait(60) == 0
    assert "Traceback" not in ending.log.read_text()


def test_sighup_reloads_the_model_folder(models: Path, tmp_path: Path, started: Callable[..., TitlesServer]) -> None:
    titles = ["palabra1 palabra5", "palabra2"]
    folder = shutil.copytree(models / "mlp", tmp_path / "model")
    reloading = started(folder, "--allow-reload", "--access-log")
    before = requests.get(f"{reloading.uri}/model", timeout=60).json()
    shutil.copytree(models / "cnn", folder, dirs_exist_ok=True)
    assert post(reloading, "predict", {"titles": titles}).json()["model"]["hash"] == before["hash"]
    reloading.process.send_signal(signal.SIGHUP)
    while (after := requests.get(f"{reloading.uri}/model", timeout=60).json()) == before:
        pass
    assert (before["networks"], after["networks"]) == (["model"], ["model"])
    found = post(reloading, "predict", {"titles": titles, "top": 1}).json()
    categories = [prediction["networks"]["model"][0]["category"] for prediction in found["predictions"]]
    assert categories == Classifier.load(models / "cnn").predict(titles).category.tolist()
    assert found["model"]["hash"] == after["hash"] != before["hash"]
    assert reloading.stop() == 0
    logged = reloading.log.read_text()
    assert f"titles: reloaded: model, version 1.0.0, hash {after['hash']}" in logged
    assert '"path": "/predict", "status": 200' in logged


def test_generated_requests_conform_to_the_schema(server: TitlesServer, tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("schemathesis"), "run", f"{server.uri}/openapi.json"]
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    done = subprocess.run(
        [*command, "--checks", checks, "--max-examples", "25", "--seed", "2019", "--no-color"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"[1-9]\d* passed", done.stdout)


@pytest.fixture
def page(chromium, server: TitlesServer) -> Iterator[Page]:
    """The page in Portuguese. Fails if it loads anything from another host or logs to the console."""
    opened = chromium.new_page(locale="pt-BR")
    urls, console = [], []
    opened.on("request", lambda request: urls.append(request.url))
    opened.on("console", lambda message: console.append(message.text))
    opened.on("pageerror", lambda error: console.append(str(error)))
    opened.goto(server.uri)
    yield opened
    opened.close()
    assert console == []
    assert [url for url in urls if not url.startswith((server.uri, f"blob:{server.uri}"))] == []


def test_one_title_shows_the_tables_of_all_networks_and_the_weights_of_its_words(page: Page, models: Path) -> None:
    page.get_by_label("Títulos, um por linha").fill("Palabra1 palabra5")
    # With the keyboard only.
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("1 título respondido")
    for name, folder in {"CNN": models / "cnn", "MLP": models / "mlp", "média das duas": models}.items():
        categories = page.get_by_role("table", name=name).locator("tbody tr td.category").all_text_contents()
        assert categories == Classifier.load(folder).predict(["Palabra1 palabra5"], top=3).category.tolist()
    assert page.locator("table.even tbody th").all_text_contents() == ["palabra1", "palabra5"]


def test_the_table_of_many_titles_can_be_downloaded(page: Page, models: Path, tmp_path: Path) -> None:
    titles = [title for title in TITLES if title] + [f"palabra{number % 40}" for number in range(MAX_TITLES + 5)]
    page.get_by_role("textbox").fill("\n".join(titles))
    page.get_by_role("button").click()
    expect(page.get_by_role("status")).to_have_text(f"{len(titles)} títulos respondidos")
    with page.expect_download() as download:
        page.get_by_text("Baixar como CSV").click()
    download.value.save_as(tmp_path / "found.csv")
    found = pd.read_csv(tmp_path / "found.csv")
    assert found.title.tolist() == titles
    assert found["mean"].tolist() == Classifier.load(models).predict(titles).category.tolist()
    assert "os primeiros 200" in page.locator("caption").inner_text()


def test_a_title_without_a_usable_word_shows_the_reason(page: Page, tmp_path: Path) -> None:
    page.get_by_role("textbox").fill("電話")
    page.get_by_role("button").click()
    expect(page.locator("#result p")).to_have_text("Sem categoria: o título não tem letras latinas nem algarismos.")
    assert page.locator("table").count() == 0
    page.get_by_role("combobox").select_option("en")
    page.get_by_role("textbox").fill("電話\npalabra1")
    page.get_by_role("button").click()
    expect(page.get_by_role("status")).to_have_text("2 titles answered")
    first, second = page.locator("tbody tr").all()
    assert first.locator("td").all_text_contents() == ["No category: the title has no Latin letter or digit."]
    assert second.locator("td").count() == 6
    with page.expect_download() as download:
        page.get_by_text("Download as CSV").click()
    download.value.save_as(tmp_path / "found.csv")
    found = pd.read_csv(tmp_path / "found.csv")
    assert found["mean"].isna().tolist() == [True, False]
    assert found.reason.fillna("").tolist() == ["no Latin letter or digit", ""]


def test_the_page_is_in_spanish_portuguese_and_english(page: Page) -> None:
    for language, button in (("es", "Buscar categorías"), ("en", "Find categories"), ("pt", "Buscar categorias")):
        page.get_by_role("combobox").select_option(language)
        expect(page.get_by_role("button")).to_have_text(button)
        assert page.locator("html").get_attribute("lang") == language
    page.get_by_role("button").click()
    expect(page.get_by_role("status")).to_have_text("Escreva primeiro um título.")
    page.get_by_role("combobox").select_option("es")
    expect(page.get_by_role("status")).to_have_text("Escriba primero un título.")


def test_a_title_that_is_too_long_is_reported_and_the_previous_result_removed(page: Page) -> None:
    page.get_by_role("textbox").fill("palabra1")
    page.get_by_role("button").click()
    expect(page.get_by_role("table", name="MLP")).to_be_visible()
    page.get_by_role("textbox").fill(f"palabra1\n\n{'a' * (MAX_TITLE_CHARACTERS + 1)}")
    page.get_by_role("button").click()
    expect(page.get_by_role("status")).to_have_text("A linha 3 tem mais de 1.000 caracteres.")
    assert page.locator("table").count() == 0


def test_every_control_and_table_has_an_accessible_name(page: Page) -> None:
    page.get_by_role("textbox").fill("<b>palabra1</b>\npalabra2")
    page.get_by_role("button").click()
    expect(page.get_by_role("status")).to_have_text("2 títulos respondidos")
    assert page.locator("#result b").count() == 0
    snapshot = page.locator("body").aria_snapshot()
    assert 'combobox "Idioma"' in snapshot
    assert 'textbox "Títulos, um por linha"' in snapshot
    assert 'button "Buscar categorias"' in snapshot
    assert 'columnheader "Título"' in snapshot
    assert 'rowheader "<b>palabra1</b>"' in snapshot


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, [1, 2, 4, 8, 16]),
        ({"Retry-After": "0"}, [1, 2, 4, 8, 16]),
        ({"Retry-After": "5"}, [5, 5, 5, 8, 16]),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, [1, 2, 4, 8, 16]),
    ],
)
def test_the_page_retries_an_overloaded_server_with_exponential_backoff(
    page: Page, headers: dict[str, str], seconds: list[int]
) -> None:
    found = page.evaluate(FETCH_OVERLOADED, headers)
    assert found == {"seconds": seconds, "requests": 6, "message": "503 Service Unavailable"}


FETCH_OVERLOADED = """async (headers) => {
    const { fetchJson } = await import("/page/fetch_json.js");
    const seconds = [];
    let requests = 0;
    window.setTimeout = (resume, milliseconds) => { seconds.push(milliseconds / 1000); resume(); };
    window.fetch = async () => {
        requests++;
        return new Response("<h1>busy</h1>", { status: 503, statusText: "Service Unavailable", headers });
    };
    return fetchJson("predict", {}).catch((error) => ({ seconds, requests, message: error.message }));
}"""


def test_the_page_stops_retrying_once_the_result_is_not_wanted(page: Page) -> None:
    fetch_unwanted = """async () => {
        const { fetchJson } = await import("/page/fetch_json.js");
        let requests = 0;
        window.setTimeout = (resume) => resume();
        window.fetch = async () => { requests++; return new Response("", { status: 503 }); };
        return fetchJson("predict", {}, () => false).catch(() => requests);
    }"""
    assert page.evaluate(fetch_unwanted) == 1


def test_the_api_documentation_loads_nothing_from_other_hosts(chromium, server: TitlesServer) -> None:
    opened = chromium.new_page()
    urls: list[str] = []
    opened.on("request", lambda request: urls.append(request.url))
    opened.goto(f"{server.uri}/docs")
    expect(opened.get_by_text("/predict", exact=True)).to_be_visible()
    opened.close()
    assert [url for url in urls if not url.startswith((server.uri, "data:"))] == []


def test_the_schema_has_all_routes_and_statuses(server: TitlesServer) -> None:
    schema = requests.get(f"{server.uri}/openapi.json", timeout=60).json()
    assert set(schema["paths"]) == {"/predict", "/explain", "/model", "/health", "/ready"}
    assert set(schema["paths"]["/predict"]["post"]["responses"]) == {
        "200",
        "400",
        "408",
        "413",
        "415",
        "421",
        "422",
        "500",
        "503",
    }
    assert json.dumps(schema).count("PredictResponse") > 1
