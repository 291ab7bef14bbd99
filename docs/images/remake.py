"""The pictures of data cards beside this file, made again from the built-in samples.

    python docs/images/remake.py

Needs playwright and a browser on the PATH, as the tests of pages do. Pictures show no row of a real corpus.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from curate.pipeline import curate_recipe
from curate.recipefile import load_recipe

_HERE = Path(__file__).parent
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
_DESK, _PHONE = (1200, 800), (390, 844)

#: The picture's name, the recipe, the language, light or dark, the window, and what stands at its top.
_PICTURES = (
    ("card-zh", "chnsenticorp", "zh", "light", _DESK, ""),
    ("card-en", "cmrc2018", "en", "light", _DESK, "#funnel"),
    ("card-dark", "chnsenticorp", "zh", "dark", _DESK, "li.walk:has(del)"),
    ("card-phone", "lcsts", "zh", "light", _PHONE, ""),
)
_LARGEST = 150_000


def main() -> None:
    path = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if path is None:
        sys.exit(f"error: no browser on the PATH ({', '.join(_BROWSERS)}); install one")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for name, recipe, lang, scheme, window, top in _PICTURES:
            run = curate_recipe(load_recipe(recipe), [], out=Path(folder) / name, lang=lang, workers=1).path
            picture = _HERE / f"{name}.png"
            _take(browser, run / "card.html", picture, scheme, window, top)
            size = picture.stat().st_size
            print(f"{picture.name}: {size:,} bytes")
            if size > _LARGEST:
                sys.exit(f"error: {picture.name} has more than {_LARGEST:,} bytes; take a smaller window")
        browser.close()


def _take(browser: Browser, page: Path, picture: Path, scheme: str, window: tuple[int, int], top: str) -> None:
    width, height = window
    tab = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme, offline=True)  # type: ignore[arg-type]
    tab.goto(page.as_uri())
    if top:
        tab.locator(top).first.evaluate("place => place.scrollIntoView()")
    tab.screenshot(path=str(picture))
    tab.close()


if __name__ == "__main__":
    main()
