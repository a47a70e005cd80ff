"""Takes the README's picture of the MLflow UI: `python -m benchmarks.picture docs/mlflow.png`.

Runs the six stages in a clone of the last commit, with a store of its own, and opens it in Chromium (Debian's package,
or the one CHROMIUM names).
"""

import argparse
import os
import subprocess
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.servers import MlflowServer

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
# Root may only run Chromium without its sandbox; a machine without a network waits for what it looks up by itself.
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
CHARTS = "validation_balanced_accuracy|validation_loss|train_loss"
MILLISECONDS = 60_000


def show_the_learning_curves(page: Page, address: str) -> None:
    """The runs of the newest pipeline, unfolded, beside the curves of what it trained."""
    page.set_default_timeout(MILLISECONDS)
    page.goto(address)
    page.get_by_text("Model training", exact=True).click()
    page.get_by_text("Model registry").first.wait_for()
    page.goto(f"{address}/#/experiments/1/runs?compareRunsMode=CHART")
    page.get_by_role("button", name="Close").last.click()
    page.get_by_placeholder("Search metric charts").fill(CHARTS)
    page.locator(".ag-row button").first.click()
    page.get_by_text("train_cnn").first.wait_for()
    page.wait_for_timeout(5_000)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.picture", description=__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--store", type=Path, help="a store to show instead of one of a new run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        clone = Path(folder) / "titles"
        if options.store is None:
            subprocess.run(["git", "clone", "--quiet", ".", str(clone)], check=True)
            environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
            subprocess.run(["dvc", "repro", "--force"], cwd=clone, env=environment, check=True)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        page = browser.new_page(viewport={"width": 1400, "height": 720})
        server = MlflowServer(Path(folder), f"sqlite:///{(options.store or clone / 'mlflow.db').resolve()}")
        server.start()
        try:
            show_the_learning_curves(page, server.uri)
            page.screenshot(path=options.picture)
        finally:
            server.kill()
        browser.close()


if __name__ == "__main__":
    main()
