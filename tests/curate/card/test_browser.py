"""card.html in a real browser, from disk and without a network: what it shows, how it behaves, who can use it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browsing
import pytest
from browsing import PHONE, launched, serious_faults, too_wide
from helpers import curate, samples
from mixed import mix, mixture_file

HOSTILE = (
    "</script><script>window.broken = 1</script>",
    "<img src=x onerror='window.broken = 1'>",
    "\u202e这句倒着\u202c写",
    "\x1b[31m红\x1b[0m",
    "长" * 100_000,
)


class Opened(browsing.Opened):
    """The card of a run in a tab of its own."""

    def __init__(self, browser: Any, run: Path, **options: Any) -> None:
        super().__init__(browser, run / "card.html", **options)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from launched()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of each family on its built-in sample, one whose rows mean harm, and a mixture."""
    folder = tmp_path_factory.mktemp("browser")
    names = ("lcqmc", "chnsenticorp", "cmrc2018", "lcsts", "lccc")
    made = {name: curate(name, folder / name).path for name in names}
    source = folder / "train.tsv"
    lines = [f"{i % 2}\t这是第{i}条评论，内容各不相同" for i in range(40)]
    lines += [f"{i % 2}\t{text}" for i, text in enumerate(HOSTILE)] * 2 + ["9\t标签不在列表里的一行"]
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    made["hostile"] = curate("chnsenticorp", folder / "hostile", source).path
    parts = {name: {"run": str(made[name])} for name in names}
    made["mixture"] = mix(mixture_file(folder, parts, temperature=2, total=300), folder / "mixture").path
    return made


NAMES = ("lcqmc", "chnsenticorp", "cmrc2018", "lcsts", "lccc", "hostile", "mixture")


@pytest.mark.parametrize("name", NAMES)
def test_it_opens_quietly_and_every_chart_is_drawn(browser: Any, runs: dict[str, Path], name: str) -> None:
    with Opened(browser, runs[name]) as one:
        sizes = one.page.evaluate(
            "[...document.querySelectorAll('figure svg')].map(svg => [svg.getBoundingClientRect().width,"
            " [...svg.querySelectorAll('rect')].filter(r => r.getBoundingClientRect().width > 0).length])"
        )
        assert len(sizes) >= 2
        assert all(width > 200 and marks > 0 for width, marks in sizes)
        assert one.page.evaluate("window.broken") is None
        assert one.said == []


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_wider_than_a_telephone(browser: Any, runs: dict[str, Path], name: str) -> None:
    with Opened(browser, runs[name], viewport=PHONE) as one:
        assert too_wide(one) == []


@pytest.mark.parametrize("script", [True, False])
def test_the_language_can_be_switched(browser: Any, runs: dict[str, Path], script: bool) -> None:
    """By mouse and by keyboard, and where scripts are off too: the switch is a matter of style."""
    with Opened(browser, runs["lcqmc"], java_script_enabled=script) as one:
        zh, en = (one.page.get_by_role("heading", name=name, exact=True) for name in ("剔除的行", "Rejected rows"))
        assert zh.is_visible() and not en.count()
        one.page.locator("label[for=lang-en]").click()
        assert en.is_visible() and not zh.count()
        one.page.get_by_role("radio", name="English").press("ArrowLeft")
        assert zh.is_visible()
        if script:
            assert one.page.evaluate("document.documentElement.lang") == "zh-Hans"


def test_the_search_finds_a_planted_row(browser: Any, runs: dict[str, Path]) -> None:
    with Opened(browser, runs["hostile"]) as one:
        field = one.page.get_by_label("在剔除的行中查找")
        planted = one.page.locator("ul.reject", has_text="标签不在列表里的一行")
        assert not planted.is_visible()
        field.fill("列表里的一行")
        assert planted.is_visible()
        assert one.page.locator("ul.reject:visible").count() == 1
        assert one.page.locator("#hits").inner_text() == "1"
        field.fill("哪里都没有的话")
        assert one.page.locator("ul.reject:visible").count() == 0
        field.fill("")
        assert one.page.locator("details.reason:visible").count() == one.page.locator("details.reason").count()


def test_a_number_of_the_funnel_opens_its_rejects(browser: Any, runs: dict[str, Path]) -> None:
    with Opened(browser, runs["chnsenticorp"]) as one:
        row = one.page.locator("table:has(#table-funnel) tr", has_text="exact_dedup")
        row.get_by_role("link").first.press("Enter")
        assert one.page.evaluate("location.hash") == "#rejects-exact_dedup"
        assert one.page.locator("#rejects-exact_dedup + details ul.reject").first.is_visible()


def test_rows_that_mean_harm_are_text(browser: Any, runs: dict[str, Path]) -> None:
    with Opened(browser, runs["hostile"]) as one:
        one.open_all()
        assert one.page.locator("script").count() == 1
        assert one.page.locator("img").count() == 0
        shown = one.page.locator("main").inner_text()
        assert HOSTILE[0] in shown and HOSTILE[1] in shown
        assert "⟨U+202E⟩" in shown and "\u202e" not in shown
        one.page.wait_for_timeout(50)
        assert one.page.evaluate("window.broken") is None


def test_no_other_script_may_run(browser: Any, runs: dict[str, Path]) -> None:
    """Were some text taken for markup after all, the page's policy would still keep it from running."""
    with Opened(browser, runs["lcqmc"]) as one:
        one.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.broken = 1\">')")
        one.page.evaluate(
            "{ const script = document.createElement('script'); script.textContent = 'window.broken = 2';"
            " document.body.append(script); }"
        )
        one.page.wait_for_timeout(100)
        assert one.page.evaluate("window.broken") is None
        assert any("Content Security Policy" in text for text in one.said)


def test_without_scripts_everything_can_be_read(browser: Any, runs: dict[str, Path]) -> None:
    with Opened(browser, runs["lcqmc"], java_script_enabled=False) as one:
        first = samples(runs["lcqmc"], "train")[0]["meta"]["template"]
        summary = one.page.locator("summary", has_text=first)
        summary.click()
        assert one.page.locator("details[open] dl").first.is_visible()
        assert not one.page.locator("#search").is_visible()


def test_it_can_be_printed(browser: Any, runs: dict[str, Path], tmp_path: Path) -> None:
    with Opened(browser, runs["lcqmc"]) as one:
        one.page.pdf(path=str(tmp_path / "card.pdf"), format="A4")
        assert (tmp_path / "card.pdf").stat().st_size > 20_000


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", NAMES)
def test_axe_finds_no_serious_fault(browser: Any, runs: dict[str, Path], name: str, scheme: str) -> None:
    with Opened(browser, runs[name], color_scheme=scheme, bypass_csp=True) as one:
        assert serious_faults(one) == []
