"""A real browser for the tests of pages: they are opened from disk and without a network."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip install playwright)")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
#: axe-core as npm unpacks it: `npm install axe-core`, and the path of its axe.min.js.
AXE = Path(os.environ.get("JINGTIAO_AXE", "node_modules/axe-core/axe.min.js"))
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


@contextmanager
def started() -> Iterator[Any]:
    """A browser; where there is none, the test skips."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"needs a browser on the PATH: {', '.join(BROWSERS)}")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


class Opened:
    """A page in a tab of its own, and what the console said."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.context = browser.new_context(offline=True, **{"viewport": DESK, **options})
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.said.append(f"asked for {request.url}"))
        self.page.goto(path.absolute().as_uri())
        self.said = [text for text in self.said if not text.endswith(path.name)]

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *error: object) -> None:
        self.context.close()

    def open_all(self) -> None:
        """What is folded, unfolded."""
        self.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")

    def too_wide(self) -> list[str]:
        """What stands out over the right edge, but for what scrolls within itself."""
        self.open_all()
        width = self.page.viewport_size["width"]
        assert self.page.evaluate("document.documentElement.scrollWidth") <= width
        return self.page.evaluate(
            "[...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll') && !e.closest('.unseen') &&"
            " e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"
        )

    def serious_faults(self) -> list[tuple[str, str, str]]:
        """What axe-core finds in either language; the page must have been opened with bypass_csp."""
        if not AXE.is_file():
            pytest.skip("needs axe-core (npm install axe-core), its axe.min.js named by JINGTIAO_AXE")
        self.open_all()
        self.page.add_script_tag(path=str(AXE))
        found = []
        for lang in ("zh", "en"):
            self.page.locator(f"label[for=lang-{lang}]").click()
            faults = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
            found += [(fault["id"], fault["impact"], fault["nodes"][0]["html"][:120]) for fault in faults]
        return [fault for fault in found if fault[1] in ("serious", "critical")]
