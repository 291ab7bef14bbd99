"""report.html in a real browser, from disk and without a network: what it shows, how it behaves, who can use it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import PHONE, Opened, launched, serious_faults
from report_by_hand import grown, make_folder

from tune.report import report

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
HOSTILE = ("</script><script>window.broken = 1</script>", "<img src=x onerror='window.broken = 1'>", "\u202e倒\u202c")
NAMES = ("pair", "mrc", "mixture")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from launched()


def said(at: int, sample: dict[str, Any]) -> tuple[str, str]:
    """Right and wrong answers, some of which mean harm, and one that can be searched for."""
    right = sample["output"]
    base = ("这句话只在一处出现", *HOSTILE)[at % 4] if at < 4 else "不同" if at % 2 else "相同"
    return base, right if at % 3 else "长" * 100_000


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("browser")
    many = grown(GOLDEN / "pair", place / "runs" / "pair", "validation", 48)
    runs = {"pair": many, "mrc": GOLDEN / "mrc", "mixture": GOLDEN / "mixture"}
    made = {name: make_folder(run, place / name, said) for name, run in runs.items()}
    for folder in made.values():
        report(folder)
    return {name: folder / "report.html" for name, folder in made.items()}


@pytest.mark.parametrize("name", NAMES)
def test_it_opens_quietly_and_every_chart_is_drawn(browser: Any, pages: dict[str, Path], name: str) -> None:
    with Opened(browser, pages[name]) as one:
        one.open_all()
        marks = "[...svg.querySelectorAll('rect, circle, polyline')].filter(m => m.getBoundingClientRect().width > 0)"
        sizes = one.page.evaluate(
            "[...document.querySelectorAll('figure svg')].map(svg =>"
            f" [svg.getBoundingClientRect().width, {marks}.length])"
        )
        assert len(sizes) >= 5
        assert all(width > 200 and drawn > 0 for width, drawn in sizes)
        assert one.page.locator("script").count() == 1 and one.page.locator("img").count() == 0
        assert HOSTILE[0] in one.page.locator("main").inner_text()
        assert one.page.evaluate("window.broken") is None
        assert one.said == []


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_wider_than_a_telephone(browser: Any, pages: dict[str, Path], name: str) -> None:
    with Opened(browser, pages[name], viewport=PHONE) as one:
        one.open_all()
        assert one.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        wide = one.page.evaluate(
            "[...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll') && !e.closest('.unseen') &&"
            " e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"
        )
        assert wide == []


@pytest.mark.parametrize("script", [True, False])
def test_the_language_can_be_switched(browser: Any, pages: dict[str, Path], script: bool) -> None:
    with Opened(browser, pages["pair"], java_script_enabled=script) as one:
        zh, en = (one.page.get_by_role("heading", name=name, exact=True) for name in ("结论", "Did it get better?"))
        assert zh.is_visible() and not en.count()
        one.page.locator("label[for=lang-en]").click()
        assert en.is_visible() and not zh.count()
        one.page.get_by_role("radio", name="English").press("ArrowLeft")
        assert zh.is_visible()
        if not script:  # all can be read without
            one.page.locator("summary", has_text="改对了").first.click()
            assert one.page.locator("details[open] bdi").first.is_visible()
            assert not one.page.locator("#search").is_visible()


def test_the_search_finds_a_planted_row(browser: Any, pages: dict[str, Path]) -> None:
    with Opened(browser, pages["mrc"]) as one:
        planted = one.page.locator("ul.reject", has_text="这句话只在一处出现").first
        assert not planted.is_visible()
        one.page.get_by_label("在例子中查找").fill("只在一处")
        assert planted.is_visible()
        found = one.page.locator("ul.reject:visible")
        assert found.count() == int(one.page.locator("#hits").inner_text()) >= 1
        assert all("只在一处" in text for text in found.all_inner_texts())
        one.page.get_by_label("在例子中查找").fill("哪里都没有的话")
        assert found.count() == 0


def test_it_can_be_printed(browser: Any, pages: dict[str, Path], tmp_path: Path) -> None:
    with Opened(browser, pages["pair"]) as one:
        one.page.pdf(path=str(tmp_path / "report.pdf"), format="A4")
        assert (tmp_path / "report.pdf").stat().st_size > 20_000


@pytest.mark.parametrize(("name", "scheme"), [("pair", "light"), ("mrc", "dark"), ("mixture", "light")])
def test_axe_finds_no_serious_fault(browser: Any, pages: dict[str, Path], name: str, scheme: str) -> None:
    with Opened(browser, pages[name], color_scheme=scheme, bypass_csp=True) as one:
        assert serious_faults(one) == []
