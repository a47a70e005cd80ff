"""Screenshots of the MLflow UI in Chromium: the package of Debian, or the program that CHROMIUM names.

    python -m benchmarks.picture docs/images/mlflow.png
    python -m benchmarks.picture docs/images/sigmoid.png --store WORK/mlflow.db

The first runs the six stages in a clone of the last commit, with a store of its own. The second shows the metrics
within an epoch of trainings that are already in a store, such as `benchmarks.scale WORK cnn-20m sigmoid-20m`.
"""

import argparse
import os
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Page, sync_playwright

from tests.servers import MlflowServer
from titles.mlflow_store.paths import sqlite_uri

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
# Root can run Chromium only without its sandbox. Without a network, background requests would delay the page.
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
CHARTS = "validation_balanced_accuracy|validation_loss|train_loss"
STEP_CHARTS = "sampled_balanced_accuracy"
# Finished trainings on 20 million rows.
TRAININGS = "attributes.run_name = 'train_cnn' AND attributes.status = 'FINISHED' AND metrics.rows_in > 10000000"
TIMEOUT_MS = 60_000


def show_charts(page: Page, address: str, charts: str, search: str = "") -> None:
    """Show the charts of these metrics, of all runs or of those that match the search."""
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(address)
    page.get_by_text("Model training", exact=True).click()
    page.get_by_text("Model registry").first.wait_for()
    page.goto(f"{address}/#/experiments/1/runs?compareRunsMode=CHART&searchFilter={quote(search)}")
    page.get_by_role("button", name="Close").last.click()
    page.get_by_placeholder("Search metric charts").fill(charts)
    page.locator(".ag-row button").first.wait_for()


def unfold(page: Page, pipelines: int) -> None:
    """Expand the newest pipelines in the list of runs, so that the runs of their stages are visible."""
    for index in reversed(range(pipelines)):
        page.locator(".ag-row button").nth(index).click()
    page.get_by_text("train_cnn").first.wait_for()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.picture", description=__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--store", type=Path, help="SQLite store to show instead of that of a new run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        clone = Path(folder) / "titles"
        if options.store is None:
            subprocess.run(["git", "clone", "--quiet", ".", str(clone)], check=True)
            environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
            subprocess.run(["dvc", "repro", "--force"], cwd=clone, env=environment, check=True)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        page = browser.new_page(viewport={"width": 1400, "height": 720})
        server = MlflowServer(Path(folder), sqlite_uri((options.store or clone / "mlflow.db").resolve()))
        server.start()
        try:
            if options.store:
                show_charts(page, server.uri, STEP_CHARTS, TRAININGS)
                unfold(page, page.locator(".ag-row button").count())
            else:
                show_charts(page, server.uri, CHARTS)
                unfold(page, 1)
            page.wait_for_timeout(5_000)
            page.screenshot(path=options.picture)
        finally:
            server.kill()
        browser.close()


if __name__ == "__main__":
    main()
