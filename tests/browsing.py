"""A page in a real browser, from disk and without a network."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
#: axe-core as npm unpacks it: `npm install axe-core`, and the path of its axe.min.js.
AXE = Path(os.environ.get("JINGTIAO_AXE", "node_modules/axe-core/axe.min.js"))
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


def launched() -> Iterator[Any]:
    """The browser, for a fixture to yield from; skips where there is none, or no playwright."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip install playwright)")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"needs a browser on the PATH: {', '.join(BROWSERS)}")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


class Opened:
    """A page in a tab of its own, and what the console said (and what was asked of a network)."""

    def __init__(self, browser: Any, file: Path, **options: Any) -> None:
        self.context = browser.new_context(offline=True, **{"viewport": DESK, **options})
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.said.append(f"asked for {request.url}"))
        self.page.goto(file.absolute().as_uri())
        self.said = [text for text in self.said if not text.endswith(file.name)]

    def open_all(self) -> None:
        self.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *error: object) -> None:
        self.context.close()


def too_wide(opened: Opened) -> list[str]:
    """What stands out over the right edge with everything opened, but for what scrolls within itself."""
    opened.open_all()
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= opened.page.viewport_size["width"]
    return opened.page.evaluate(
        "[...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll') && !e.closest('.unseen') &&"
        " e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"
    )


def serious_faults(opened: Opened) -> list[tuple[str, str, str]]:
    """What axe-core calls serious or critical, with everything opened, in both languages.

    The page must have been opened with bypass_csp=True. Skips where axe-core is not at hand.
    """
    if not AXE.is_file():
        pytest.skip("needs axe-core (npm install axe-core), its axe.min.js named by JINGTIAO_AXE")
    opened.open_all()
    opened.page.add_script_tag(path=str(AXE))
    told = []
    for lang in ("zh", "en"):
        opened.page.locator(f"label[for=lang-{lang}]").click()
        found = opened.page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        told += [(fault["id"], fault["impact"], fault["nodes"][0]["html"][:160]) for fault in found]
    return [fault for fault in told if fault[1] in ("serious", "critical")]
