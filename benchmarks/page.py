"""Screenshot of the web page of `titles serve`: `python -m benchmarks.page models docs/images/page.png`."""

import argparse
import tempfile
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from benchmarks.picture import CHROMIUM, OPTIONS
from tests.servers import TitlesServer

TITLE = "Funda Silicona Galaxy J7 Prime"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.page", description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("picture", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = TitlesServer(options.model, Path(folder) / "log")
        server.start()
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        page = browser.new_page(viewport={"width": 1000, "height": 600}, locale="en")
        page.goto(server.uri)
        page.get_by_role("textbox").fill(TITLE)
        page.get_by_role("button").click()
        expect(page.get_by_role("status")).to_have_text("1 title answered")
        page.screenshot(path=options.picture, full_page=True)
        browser.close()
        server.stop()


if __name__ == "__main__":
    main()
