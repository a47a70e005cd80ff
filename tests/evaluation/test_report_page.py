"""The report in a browser: as a file, and as MLflow shows it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from playwright.sync_api import Browser, FrameLocator, Page, expect

from tests.evaluation.small_report import report
from tests.repository import SECONDS
from tests.servers import MlflowServer

pytestmark = pytest.mark.services


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page; the test fails if its scripts raise an error."""
    opened, errors = chromium.new_page(), []
    opened.set_default_timeout(SECONDS * 1000)
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    opened.close()
    assert errors == []


def check_the_table_of_categories(shown: Page | FrameLocator) -> None:
    """Check that the table can be searched and sorted."""
    rows = shown.locator("#categories tr")
    count = rows.count()
    assert count > 1
    first = rows.first.locator("th, td").first.inner_text()
    shown.get_by_label("Find a category").fill(first.lower())
    expect(rows.locator("visible=true")).to_have_count(1)
    expect(shown.locator("#matches")).to_have_text(f"1 of {count} categories")
    shown.get_by_label("Find a category").fill("")
    expect(shown.locator("#matches")).to_have_text(f"{count} of {count} categories")
    shown.get_by_role("button", name="Category").click()
    names = [name.lower() for name in rows.locator("> :first-child").all_inner_texts()]
    assert names == sorted(names)
    shown.get_by_role("button", name="Category").click()
    assert [name.lower() for name in rows.locator("> :first-child").all_inner_texts()] == names[::-1]


def test_it_opens_from_a_file_and_requests_nothing_else(page: Page, tmp_path: Path) -> None:
    report().write(tmp_path / "report.html")
    requested = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto(address := (tmp_path / "report.html").as_uri())
    check_the_table_of_categories(page)
    assert [url for url in requested if url != address and not url.startswith("data:")] == []


def test_mlflow_shows_it_with_the_run(page: Page, tmp_path: Path) -> None:
    report().write(tmp_path / "report.html")
    store = f"sqlite:///{tmp_path}/mlflow.db"
    client = MlflowClient(store)
    experiment = client.create_experiment("titles", artifact_location=str(tmp_path / "logged"))
    run = client.create_run(experiment).info.run_id
    client.log_artifact(run, str(tmp_path / "report.html"), "report")
    server = MlflowServer(tmp_path, store)
    server.start()
    try:
        page.goto(f"{server.uri}/#/experiments/{experiment}/runs/{run}/artifacts/report/report.html")
        shown = page.frame_locator("iframe")
        shown.get_by_label("Find a category").wait_for()
        check_the_table_of_categories(shown)
    finally:
        server.kill()
