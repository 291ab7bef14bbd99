"""The page of a diff, and the links of row ids, in a real browser: from disk, without a network."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import PHONE, Opened, launched, serious_faults, too_wide
from diff_by_hand import HOSTILE, two_runs
from helpers import curate, rejects

from curate.card.rowlinks import anchor
from curate.diff import diff_runs
from curate.diff.page import write_page


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from launched()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("diff")
    write_page(diff_runs(*two_runs(folder)), folder / "page.html", "zh")
    return folder / "page.html"


def test_it_opens_quietly_and_every_chart_is_drawn(browser: Any, page: Path) -> None:
    with Opened(browser, page) as one:
        marks = one.page.evaluate(
            "[...document.querySelectorAll('figure svg')].map(svg =>"
            " [...svg.querySelectorAll('rect')].filter(r => r.getBoundingClientRect().width > 0).length)"
        )
        assert len(marks) >= 5 and all(marks)
        one.open_all()
        shown = one.page.locator("main").inner_text()
        assert HOSTILE[0] in shown and HOSTILE[1] in shown
        assert one.page.locator("script").count() == 1 and one.page.locator("img").count() == 0
        one.page.wait_for_timeout(50)
        assert one.page.evaluate("window.broken") is None
        assert one.said == []


def test_it_fits_a_telephone_and_can_be_printed(browser: Any, page: Path, tmp_path: Path) -> None:
    with Opened(browser, page, viewport=PHONE) as one:
        assert too_wide(one) == []
        one.page.pdf(path=str(tmp_path / "page.pdf"), format="A4")
        assert (tmp_path / "page.pdf").stat().st_size > 20_000


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(browser: Any, page: Path, scheme: str) -> None:
    with Opened(browser, page, color_scheme=scheme, bypass_csp=True) as one:
        assert serious_faults(one) == []


def test_the_language_the_search_and_the_numbers(browser: Any, page: Path) -> None:
    with Opened(browser, page) as one:
        one.page.locator("label[for=lang-en]").click()
        heading = one.page.get_by_role("heading", name="Rows lost and added, by step and reason")
        assert heading.is_visible()
        field = one.page.get_by_label("Search these rows")
        row = one.page.locator(".reject", has_text="onerror")
        assert not row.first.is_visible()
        field.fill("onerror")
        assert row.first.is_visible()
        assert (
            one.page.locator(".reject:visible").count() == row.count() == int(one.page.locator("#hits").inner_text())
        )
        field.fill("哪里都没有的话")
        assert one.page.locator(".reject:visible").count() == 0
        # A number leads to its rows, though the search had hidden them.
        one.page.locator("table:has(#table-why) a").first.click()
        assert one.page.locator("details.reason[open] .reject").first.is_visible()
        assert field.input_value() == ""


def command_of(one: Opened, index: int = 0) -> str:
    return one.page.locator(".ask code").nth(index).inner_text()


@pytest.mark.parametrize("script", [True, False])
def test_an_id_fills_in_the_command(browser: Any, page: Path, script: bool) -> None:
    with Opened(browser, page, java_script_enabled=script) as one:
        group = one.page.locator("details.reason").first
        group.locator("summary").click()
        link = group.locator(".reject > .id a.look").first
        row = link.inner_text()
        link.click()
        assert one.page.evaluate("location.hash") == "#look"
        wanted = row if script else "ID"
        for index, name in enumerate(("few", "many")):
            assert command_of(one, index) == f"python -m curate explain {page.parent / name / 'run'} {wanted}"
        assert one.page.locator("#look-id").is_visible() is script
        if script:
            one.page.locator("#look-id").fill("它's $(ls)/1")
            assert command_of(one).endswith(" '它'\\''s $(ls)/1'")
            one.page.locator("#look-id").fill("")
            assert command_of(one).endswith(" ID")


def test_a_card_knows_the_run_that_it_lies_in(browser: Any, tmp_path: Path) -> None:
    """Every id of a card leads to its story; the command is right wherever the run's folder is moved to."""
    run = curate("lcqmc", tmp_path / "made").path
    place = tmp_path / "一个 文件夹"
    shutil.move(run, place)
    with Opened(browser, place / "card.html") as one:
        told = one.page.evaluate(
            "[...document.querySelectorAll('.id a')].map(a => [a.hash, a.textContent,"
            " document.getElementById(decodeURIComponent(a.hash.slice(1))) !== null])"
        )
        assert len(told) > 50 and all(there for *_, there in told)
        assert one.page.locator(".id code").count() == len(told)
        # A row that was rejected in favour of another is told where it stands among the rejects.
        name = next(row["id"] for row in rejects(place) if row["step"] == "exact_dedup")
        (link, *_) = [hash for hash, row, _ in told if row == name and hash != "#look"]
        assert link == f"#{anchor(name)}"
        one.page.evaluate(f"location.hash = {link!r}")
        row = one.page.locator(f"[id='{anchor(name)}']")
        row.wait_for(state="visible")
        row.get_by_role("link").first.click()
        command = command_of(one)
        assert command == f"python -m curate explain '{place}' {name}"
        assert one.said == []
    done = subprocess.run(
        command.replace("python", sys.executable, 1), shell=True, capture_output=True, text=True, check=False, cwd="/"
    )
    assert done.returncode == 0 and "rejected" in done.stdout and name in done.stdout


def test_the_command_is_copied(browser: Any, page: Path) -> None:
    with Opened(browser, page, permissions=["clipboard-read", "clipboard-write"]) as one:
        button = one.page.locator(".copy").first
        button.click()
        button.get_by_text("已复制", exact=True).wait_for()
        assert one.page.evaluate("navigator.clipboard.readText()") == command_of(one)
        assert one.page.evaluate("getSelection().toString()") == command_of(one)
