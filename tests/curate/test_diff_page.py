"""The page of a diff: every number is counted again from both folders, every id leads somewhere, rows are text."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from diff_by_hand import HOSTILE, figures_by_hand, recount, rejected_by_step, run_of, two_runs, written
from helpers import SPLITS, curate, rejects
from page_reader import Numbers, Page, number

from curate.card.rowlinks import anchor
from curate.cli import main
from curate.diff import diff_runs
from curate.diff.page import draw_page


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Two runs of a shipped recipe, and two in which all kinds of things become of rows."""
    folder = tmp_path_factory.mktemp("diffs")
    off = ["segment.as=off", "leak_check.near=off"]
    near = ["segment.as=off", "exact_dedup.by=key", "near_dedup.threshold=0.6", "leak_check.coverage=off"]
    shipped = (
        curate("lcqmc", folder / "plain", overrides=off).path,
        curate("lcqmc", folder / "near", overrides=near, limit=200).path,
    )
    return {"shipped": shipped, "own": two_runs(folder)}


def signed(cell: str) -> int:
    return int(cell.replace("−", "-").replace(",", ""))


def rows_by(table: list[list[str]], texts: int) -> dict[tuple[str, ...], list[str]]:
    """The cells of a table's rows by their texts; two rows of the same texts would be one too many."""
    found = {tuple(row[:texts]): row[texts:] for row in table[1:]}
    assert len(found) == len(table) - 1
    return found


class Counted:
    """A page, and the same counted again: `found` is the diff, `told` the recount, `shown` the numbers by place."""

    def __init__(self, one: Path, other: Path) -> None:
        self.runs = (one, other)
        self.found = diff_runs(one, other)
        self.html = draw_page(self.found, "en")
        self.page = Numbers(self.html, "en")
        self.told = recount(one, other)
        self.shown = numbers_by_place(self.page)
        present = [split for split in SPLITS if any(side[split] for side in self.told["rows"])]
        self.splits = {split: numbers_of(self.told, split) for split in present}
        self.sums = {key: sum(of[key] for of in self.splits.values()) for key in self.splits["train"]}

    def whys(self, way: str) -> Counter[str]:
        counts: Counter[str] = Counter()
        for (_, why), n in self.told[way].items():
            counts[why] += n
        return counts

    def holds(self, place: str, *numbers: int) -> None:
        """What a place shows is these numbers, without their signs."""
        assert self.shown.get(place, []) == sorted(map(abs, numbers)), place


def numbers_by_place(page: Numbers) -> dict[str, list[int]]:
    def whole(numbers: list[str]) -> list[int]:
        return sorted(int(n.replace(",", "")) for n in numbers if "." not in n)

    return {place: whole(numbers) for place, numbers in page.numbers.items()}


@pytest.fixture(scope="module")
def counted(pairs: dict[str, tuple[Path, Path]]) -> dict[str, Counted]:
    return {name: Counted(*pair) for name, pair in pairs.items()}


both = pytest.mark.parametrize("name", ["shipped", "own"])


@both
def test_each_split_adds_up(counted: dict[str, Counted], name: str) -> None:
    one = counted[name]
    table = one.page.tables["rows"]
    rows = rows_by(table, 1)
    assert {split for (split,) in rows} == one.splits.keys()
    met = ("group's size",) if name == "shipped" else (*SIGNED, "changed")
    assert all(one.sums[key] for key in met)
    for (split,), cells in rows.items():
        shown = dict(zip(table[0][1:], map(signed, cells), strict=True))
        assert shown == {key: one.splits[split][key] for key in shown}
        assert shown["First"] + sum(shown.get(key, 0) for key in SIGNED) == shown["Second"]
        one.holds(f"chart rows-{split}", *(n for key, n in shown.items() if n or key in ("First", "Second")))
    assert not any(n for key, n in one.sums.items() if key not in table[0])
    one.holds("head dd", *(one.sums[key] for key in ("First", "Second", "lost", "added", "moved here", "changed")))


@both
def test_why_rows_are_lost_and_added(counted: dict[str, Counted], name: str) -> None:
    one = counted[name]
    shown: dict[str, dict[tuple[str, str], int]] = {"lost": {}, "added": {}}
    for (way, split, why), cells in rows_by(one.page.tables["why"], 3).items():
        reason = re.sub(r"rejected by (\w+): (\w+) \(.*", r"\1:\2", why)
        reason = next((key for key, words in ABSENT.items() if words in reason), reason)
        shown[way][split, reason] = signed(cells[0])
    assert shown == {way: one.told[way] for way in shown}
    for way in shown:
        one.holds(f"chart why-{way}", *one.whys(way).values())


@both
def test_what_each_step_rejected(counted: dict[str, Counted], name: str) -> None:
    one = counted[name]
    told = rejected_by_step(*one.runs)
    shown = {
        (split, {"unreadable": "read"}.get(step, step), reason): tuple(map(signed, cells))
        for (split, step, reason, _), cells in rows_by(one.page.tables["steps"], 4).items()
    }
    assert shown == {key: (*pair, pair[1] - pair[0]) for key, pair in told.items()}
    for split in SPLITS:
        sides: list[Counter[str]] = [Counter(), Counter()]
        for (at, step, _), pair in told.items():
            if at == split:
                sides[0][step] += pair[0]
                sides[1][step] += pair[1]
        differ = [step for step in sides[0] | sides[1] if sides[0][step] != sides[1][step]]
        one.holds(f"chart steps-{split}", *(side[step] for step in differ for side in sides))


@both
def test_all_else_that_is_counted(counted: dict[str, Counted], name: str) -> None:
    one = counted[name]
    told, sums = one.told, one.sums
    assert {key: signed(cells[0]) for (key,), cells in rows_by(one.page.tables["fields"], 1).items()} == told["fields"]
    one.holds("chart fields", *told["fields"].values())
    idle = told["rejected"]
    one.holds("table neither", *filter(None, (idle["same"], idle["only_first"], idle["only_second"])))
    one.holds("table other_reason", *idle["other"].values())
    # The groups of examples; those of changed rows add up to what changed.
    kinds = [group["rows"] for group in one.found["rows"]["changed"]]
    assert sum(kinds) == sums["changed"]
    groups = [
        *told["lost"].values(),
        *told["added"].values(),
        *told["moved"].values(),
        *told["resized"].values(),
        *kinds,
    ]
    one.holds("examples summary", *(n for rows in groups for n in (min(8, rows), rows)))
    one.holds("examples p", 8)
    worst = [max(one.whys(way).values()) for way in ("lost", "added") if told[way]]
    said = [sums[key] for key in ("lost", "added", "moved here", "changed", "group's size") if sums[key]]
    one.holds("findings li", told["common"], told["same"], *said, *worst, *kinds)
    # Nothing else on the page is a number, but for the figures of the cards, which have a test of their own.
    tables = ("runs", "made", "rows", "why", "steps", "fields", "neither", "other_reason", "figures")
    places = {"head dd", "findings li", "examples summary", "examples p", *(f"table {name}" for name in tables)}
    assert {place for place in one.shown if not place.startswith("chart ")} <= places
    assert numbers_by_place(Numbers(one.html, "zh")) == one.shown


SIGNED = ("lost", "moved away", "moved here", "added")
ABSENT = {
    "not_read": "not in the source",
    "other_parts": "cut into other parts",
    "fewer_copies": "not repeated as often",
}


def numbers_of(told: dict[str, Any], split: str) -> dict[str, int]:
    """A split's row of the table of splits, by its columns."""
    first, second = (side[split] for side in told["rows"])
    return {
        "First": first,
        "lost": -sum(n for (at, _), n in told["lost"].items() if at == split),
        "moved away": -sum(n for (before, _), n in told["moved"].items() if before == split),
        "moved here": sum(n for (_, after), n in told["moved"].items() if after == split),
        "added": sum(n for (at, _), n in told["added"].items() if at == split),
        "Second": second,
        "changed": told["changed"][split],
        "group's size": told["resized"][split],
    }


@both
def test_figures_are_those_of_both_cards(counted: dict[str, Counted], name: str) -> None:
    runs = counted[name].runs
    table = rows_by(counted[name].page.tables["figures"], 3)
    cards = [json.loads((run / "card.json").read_text(encoding="utf-8")) for run in runs]
    for (part, split, figure), cells in table.items():
        sides = [card_figure(card, part, split, figure) for card in cards]
        assert [None if cell == "–" else number(cell) for cell in cells[:2]] == [side and side[0] for side in sides]
        for cell, side in zip(cells, sides, strict=False):
            if side and side[1] is not None:
                share = 100 * side[0] / side[1] if side[1] else 0
                assert cell == f"{side[0]:,} / {side[1]:,} ({share:.1f} %)" or 0 < share < 0.05
        if None not in sides:
            assert signed(cells[2]) == sides[1][0] - sides[0][0] != 0
    if name == "shipped":
        hands = [figures_by_hand(run) for run in runs]
        expected = {key for key in hands[0].keys() & hands[1].keys() if hands[0][key] != hands[1][key]}
        plain = {("overlap" if key[0] == "leaks" else key[0], key[1], words_of(*key[::2])) for key in expected}
        assert plain <= table.keys()


def words_of(part: str, name: str) -> str:
    if part != "leaks":
        return name
    side, other, _ = name.split()
    return f"{side}, with {other}: rows that are the same"


def card_figure(card: dict[str, Any], part: str, split: str, figure: str) -> Any:
    """(the number, what it is a part of) of a row of the table of figures."""
    if part == "rows":
        key = {"moved or cut": "derived"}.get(figure, figure)
        return (card["splits"][split][key], None) if split in card["splits"] else None
    if part == "labels":
        n = card["labels"].get(split, {}).get({"(unlabelled)": ""}.get(figure, figure))
        return None if n is None else (n, None)
    if part == "lengths":
        field, _, name = figure.rpartition(" ")
        measured = card["lengths"].get(split, {}).get(field)
        return (measured["chars"][name], None) if measured else None
    if part == "duplicates":
        told = card["duplicates"].get(split)
        return (told["rows"], told["of"]) if told else None
    side, other, what = re.fullmatch(r"(\w+), with (\w+): (.+)", figure).groups()  # type: ignore[union-attr]
    key = {"rows that are the same": "rows", "nearly the same": "near", "other label": "other_label"}.get(what, what)
    cell = card["leaks"][side].get(split, {}).get(other)
    return (cell[key], cell.get(f"{key}_of", cell["of"])) if cell and key in cell else None


@both
def test_every_id_leads_to_its_story(counted: dict[str, Counted], name: str) -> None:
    one, other = counted[name].runs
    html, page = counted[name].html, counted[name].page
    assert len(page.ids) == len(set(page.ids))
    assert set(page.links) <= set(page.ids)
    links = re.findall(r'<a (?:class="look" )?href="#([^"]+)"><code>([^<]+)</code></a>', html)
    known = written(one).keys() | written(other).keys() | {row["id"] for run in (one, other) for row in rejects(run)}
    assert {row for _, row in links} <= known
    assert html.count('<p class="id">') == len(links) > 10
    # A row that is shown has a place of its own; from there its id leads to the command, from elsewhere to that place.
    for to, row in links:
        assert to == "look" or to == anchor(row)
    assert {to for to, _ in links if to != "look"} <= {place for place in page.ids if place.startswith("row-")}
    commands = re.findall(r'<code>python -m curate explain (\S+) <span class="row">ID</span></code>', html)
    assert commands == [str(one), str(other)]


def planted(value: Any, text: str) -> Any:
    """A part of a diff with a text in the place of every text."""
    if isinstance(value, dict):
        return {key: planted(one, text) for key, one in value.items()}
    if isinstance(value, list):
        return [planted(one, text) for one in value]
    return text if isinstance(value, str) else value


@pytest.mark.parametrize("text", [*HOSTILE[:4], "\x1b[31m\x00\ud800", "`code` &lt;b&gt;", "' \" onclick=x "])
def test_texts_that_mean_harm_are_text(counted: dict[str, Counted], text: str) -> None:
    """Whatever names, ids, values and rows say."""
    found = json.loads(json.dumps(counted["own"].found))
    found |= {"first": planted(found["first"], text), "figures": planted(found["figures"][:0], text)}
    for one in found["differs"]:
        one |= {"what": text, "first": text}
    for group in [*found["rows"]["lost"], *found["rows"]["changed"]]:
        group["examples"] = planted(group["examples"], text)
    found["rows"]["fields"] = {text: 1}
    found["rejects"][0]["reason"] = text
    html = draw_page(found, "zh")
    page = Page(html)
    assert html.count("<script") == html.count("</script") == 1
    assert not re.search(r"<[^>]* (?:style|on\w+)=", html)
    assert not {"img", "b"} & set(page.tags)
    assert not any(char in html for char in "\u202e\u202c\x1b\x00\ud800")
    assert set(page.links) <= set(page.ids) and len(page.ids) == len(set(page.ids))
    assert len(counted["own"].html.encode()) < 400_000  # though a row has a million characters


def test_a_change_far_into_a_long_text_is_shown(tmp_path: Path) -> None:
    """Both texts are cut alike, and the changed characters are marked."""
    made = []
    for name, word in (("a", "好"), ("b", "坏")):
        (tmp_path / name).mkdir()
        text = f"{'这里没有不同。' * 300}今天天气很{word}。{'以后也没有。' * 300}"
        made.append(run_of(tmp_path / name, {"train": [(text, "1")]}, {}, 0))
    found = diff_runs(*made)
    (example,) = found["rows"]["changed"][0]["examples"]
    assert [text[:70].count("今天天气很") for _, text in (example["first"][0], example["second"][0])] == [1, 1]
    html = draw_page(found, "zh")
    assert "今天天气很<del>好</del>" in html and "今天天气很<ins>坏</ins>" in html
    assert len(json.dumps(found)) < 20_000


def test_the_same_run_twice_has_a_page_that_says_so(pairs: dict[str, tuple[Path, Path]]) -> None:
    one, _ = pairs["shipped"]
    page = Page(draw_page(diff_runs(one, one), "en"), "en")
    assert "byte for byte" in page.text and "look" not in page.ids
    assert "Recipe, options, versions and sources are the same." in page.text


def test_the_command_line(
    pairs: dict[str, tuple[Path, Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [str(run) for run in pairs["shipped"]]
    page = tmp_path / "page.html"
    assert main(["diff", *runs]) == 0 and not list(tmp_path.iterdir())
    for lang, tag in ((None, "zh-Hans"), ("en", "en")):
        assert main(["diff", *runs, "--page", str(page), *(["--lang", lang] if lang else [])]) == 0
        assert f'<html lang="{tag}">' in page.read_text(encoding="utf-8")
        assert capsys.readouterr().out.endswith(f"page: {page}\n")
    assert main(["diff", *runs, "--page", str(page), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert draw_page(found, "zh") in page.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [page]


def test_what_a_page_must_not_replace(
    pairs: dict[str, tuple[Path, Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [str(run) for run in pairs["shipped"]]
    (tmp_path / "mine.html").write_text("<p>mine</p>", encoding="utf-8")
    (tmp_path / "folder.html").mkdir()
    wrong = {
        str(tmp_path / "mine.html"): "is there already",
        str(tmp_path / "folder.html"): "is a folder",
        str(tmp_path / "rows.jsonl"): "is no name of a page",
        str(tmp_path / "nowhere" / "page.html"): "its folder does not exist",
        f"{runs[0]}/card.html": "lies in a run folder",
    }
    for path, words in wrong.items():
        assert main(["diff", *runs, "--page", path]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.startswith(f"error: {path}: ") and words in err and err.count("\n") == 1
    for option in (["--open"], ["--lang", "en"]):
        assert main(["diff", *runs, *option]) == 2
        assert "add --page FILE.html" in capsys.readouterr().err
    assert (tmp_path / "mine.html").read_text(encoding="utf-8") == "<p>mine</p>"
