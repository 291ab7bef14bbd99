"""card.html: whole, in two languages, its numbers those of the files, and no row can be more than text in it."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from helpers import curate, rejects, samples
from hypothesis import given, settings
from hypothesis import strategies as st
from page_reader import Page, number

from curate.card.draw import without_rows
from curate.card.page import draw_page
from curate.resources import recipe_names
from curate.text.segment import Cutter
from jingtiao.both import LANGUAGES
from jingtiao.markdown import visible
from jingtiao.marked import marked

SPLITS = ("train", "validation", "test")
HOSTILE = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "--><!--<b>",
    "'\" onmouseover=alert(1) x='",
    "\u202eevil\u202c\u2066",
    "\x1b[31mred\x1b[0m",
    "{{ 7*7 }}{% for %}",
    "`code` &lt;b&gt; &#60;",
    "\ud800",
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    return {name: curate(name, folder / name).path for name in recipe_names()}


def card_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "card.json").read_text(encoding="utf-8"))


def html_of(run: Path) -> str:
    return (run / "card.html").read_text(encoding="utf-8")


# ---- the page


@pytest.mark.parametrize("name", recipe_names())
def test_a_page_is_one_small_file_drawn_from_its_card(runs: dict[str, Path], name: str) -> None:
    html = html_of(runs[name])
    assert html == draw_page(card_of(runs[name]), "zh")
    assert len(html.encode()) < 2_000_000
    assert not re.search(r"(?:src|srcset|action)=|url\(|@import|<link|<iframe|<object", html)
    assert html.count("<script") == html.count("</script") == 1
    page = Page(html)
    assert len(page.ids) == len(set(page.ids))
    assert set(page.links) <= set(page.ids)
    assert page.tags.count("h1") == 1
    assert {"main", "nav", "header", "footer"} <= set(page.tags)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_both_languages_are_there_and_one_is_shown_first(runs: dict[str, Path], lang: str) -> None:
    html = draw_page(card_of(runs["lcqmc"]), lang)
    tag = {"zh": "zh-Hans", "en": "en"}[lang]
    assert html.startswith(f'<!doctype html>\n<html lang="{tag}">')
    assert re.findall(r'id="lang-(..)"[^>]* checked', html) == [lang]
    zh, en = (Page(html, one) for one in LANGUAGES)
    assert "每一步之后剩下多少行" in zh.text and "Where the rows went" not in zh.text
    assert "Where the rows went" in en.text and "每一步之后剩下多少行" not in en.text
    assert {k: [row[1:] for row in v] for k, v in zh.tables.items() if k == "funnel"} == {
        k: [row[1:] for row in v] for k, v in en.tables.items() if k == "funnel"
    }


def test_the_policy_names_the_style_and_the_script_it_allows(runs: dict[str, Path]) -> None:
    import base64
    import hashlib

    html = html_of(runs["lcqmc"])
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', html)
    assert policy
    for tag in ("style", "script"):
        (body,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.S)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{tag}-src &#39;sha256-{digest}&#39;" in policy[1]
    assert "default-src &#39;none&#39;" in policy[1]
    assert not re.search(r"<[^>]* (?:style|on\w+)=", html)


@pytest.mark.parametrize("name", recipe_names())
def test_without_rows_there_are_numbers_only(runs: dict[str, Path], name: str) -> None:
    html = draw_page(without_rows(card_of(runs[name])), "zh")
    for split in SPLITS:
        for row in samples(runs[name], split):
            assert row["meta"]["id"] not in html
            assert len(row["input"]) < 12 or row["input"] not in html
    assert "这张卡片只有数字" in html
    assert Page(html).tables["funnel"] == Page(html_of(runs[name])).tables["funnel"]


def test_a_card_from_before_there_were_pages_is_drawn_all_the_same(runs: dict[str, Path]) -> None:
    card = card_of(runs["chnsenticorp"])
    for key in ("rows", "conflicts", "clusters"):
        del card["examples"][key]
    for row in (row for group in card["examples"]["rejects"] for row in group["rows"]):
        for key in ("kept", "kept_id", "score"):
            del row[key]
    del card["segmentation"]["oov"]
    for split in card["duplicates"].values():
        del split["sizes"]
    for fields in card["lengths"].values():
        for measured in fields.values():
            del measured["histogram"]
    assert "funnel" in Page(draw_page(card, "en")).tables


# ---- its numbers


@pytest.mark.parametrize("name", recipe_names())
def test_the_funnel_is_that_of_the_files(runs: dict[str, Path], name: str) -> None:
    run, page = runs[name], Page(html_of(runs[name]))
    head, *rows = page.tables["funnel"]
    gone = Counter((row["split"], row["step"]) for row in rejects(run))
    names = {"无法读取": "read", "无法成为样本": "format"}
    for column, split in enumerate(head[1:], 1):
        told = {row[0]: number(row[column]) for row in rows}
        assert told.pop("写出") == len(samples(run, split))
        assert told.pop("其中有标记") == sum(row["meta"]["flags"] != "" for row in samples(run, split))
        told.pop("移动或切分", 0)
        read = told.pop("读入")
        assert {names.get(step, step): -n for step, n in told.items() if n} == {
            step: n for (where, step), n in gone.items() if where == split
        }
        sources = [entry for entry in card_of(run)["sources"] if entry["split"] == split]
        assert read == sum(entry["rows"] for entry in sources)


@pytest.mark.parametrize("name", recipe_names())
def test_rejects_templates_and_labels_are_those_of_the_files(runs: dict[str, Path], name: str) -> None:
    run, page = runs[name], Page(html_of(runs[name]))
    splits = [split for split in SPLITS if samples(run, split)]
    counted = Counter((row["step"], row["reason"], row["split"]) for row in rejects(run))
    told = Counter()
    for row in page.tables.get("rejects", [["", "", ""]])[1:]:
        for split, cell in zip(page.tables["rejects"][0][3:], row[3:], strict=True):
            told[row[0], row[1], split] = number(cell)
    assert +told == counted
    used = Counter(row["meta"]["template"] for split in splits for row in samples(run, split))
    shown = re.findall(r"<summary><code>([^<]+)</code> <span class=\"count\">([\d,]+)</span>", html_of(run))
    assert {one: number(n) for one, n in shown} == used
    if "labels" in page.tables:
        head, *rows = page.tables["labels"]
        for column, split in enumerate(head[1:], 1):
            labels = Counter(row["meta"]["label"] for row in samples(run, split))
            assert {row[0].split(" ")[0]: number(row[column]) for row in rows if "无标签" not in row[0]} == {
                label: labels[label] for label in card_of(run)["label_words"]
            }


def test_unknown_words_are_those_that_jiebas_dictionary_lacks(runs: dict[str, Path]) -> None:
    run = runs["lcqmc"]
    spec: Any = find_spec("jieba")
    path = Path(spec.submodule_search_locations[0]) / "dict.txt"
    known = {line.split(" ")[0] for line in path.read_text(encoding="utf-8").split("\n")}
    words = [
        word
        for split in SPLITS
        for row in samples(run, split)
        for text in row["meta"]["words"].values()
        for word in text.split(" ")
        if re.search(r"[\u3400-\u9fff]", word)
    ]
    unknown = [word for word in words if word not in known]
    assert card_of(run)["segmentation"]["oov"] == {
        "words": len(unknown), "of": len(words), "distinct": len(set(unknown)), "distinct_of": len(set(words))
    }  # fmt: skip
    assert f"含汉字的 {len(words):,} 个词中有 {len(unknown):,} 个" in Page(html_of(run)).text
    assert Cutter().cut("甲") == ["甲"]


# ---- its rows


@pytest.mark.parametrize("name", recipe_names())
def test_rows_shown_are_rows_of_the_run(runs: dict[str, Path], name: str) -> None:
    run = runs[name]
    examples = card_of(run)["examples"]
    gone = {row["id"]: row for row in rejects(run)}
    written = {row["meta"]["id"].split("#")[0]: row for split in SPLITS for row in samples(run, split)}
    for group in examples["rejects"]:
        for row in group["rows"]:
            kept = gone[row["id"]]
            assert (kept["step"], kept["reason"], kept["split"]) == (group["step"], group["reason"], row["split"])
            assert (kept["kept_id"], kept["score"]) == (row["kept_id"], row["score"])
            assert (row["kept"] is None) == (row["kept_id"] is None)
        same = [row for row in gone.values() if (row["step"], row["reason"]) == (group["step"], group["reason"])]
        assert len(group["rows"]) == min(12, len(same))
    for row in examples["rows"]:
        assert (row["sample"] is None) == (row["id"] not in written)
        assert row["step"] == gone.get(row["id"], {}).get("step")
        if row["sample"]:
            assert written[row["id"]]["output"].startswith(row["sample"]["output"][:100].rstrip("…"))
    for group in examples["conflicts"]:
        assert len({row["fields"]["label"] for row in group if row["fields"]} - {None}) > 1 or len(group) == 4
    for cluster in examples["clusters"]:
        assert cluster["rows"] > len(cluster["members"]) > 0
        assert cluster["kept"]["fields"] and all(row["fields"] for row in cluster["members"])


def test_the_largest_clusters_are_shown_with_their_members(runs: dict[str, Path]) -> None:
    run = runs["fudan"]
    groups = defaultdict(set)
    for row in rejects(run):
        if row["step"] == "exact_dedup":
            groups[row["kept_id"]].add(row["id"])
    found = [one for one in card_of(run)["examples"]["clusters"] if one["split"] == "train"]
    shown = [one for one in found if one["kept"]["step"] is None]  # others were rejected before, for their labels
    assert shown
    sizes = sorted((len(members) + 1 for members in groups.values()), reverse=True)
    assert [one["rows"] for one in shown] == sizes[: len(shown)] and len(shown) == min(10, len(sizes))
    for one in shown:
        assert {row["id"] for row in one["members"]} <= groups[one["kept"]["id"]]


@given(st.text(max_size=60), st.text(max_size=60))
def test_marks_take_nothing_away_from_either_text(read: str, cleaned: str) -> None:
    old, new = marked(read, cleaned)
    if not any(char in read + cleaned for char in "⏎␣□⇥␍"):  # which stand for white space that changed
        seen = str.maketrans({"␣": " ", "□": "\u3000", "⇥": "\t"})
        for made, raw in ((old, read), (new, cleaned)):
            shown = Page(made).text.replace("⏎\n", "\n").translate(seen).replace("␍", "⟨U+000D⟩")
            assert shown == visible(raw)
    assert ("<del>" in old) <= (read != cleaned) and ("<ins>" in new) <= (read != cleaned)


#: What HTML, templates and terminals could take for their own, and what hides text or turns it around.
NASTY = st.text(st.one_of(st.sampled_from("<>&\"'`\n\r\u202e\x00{}%"), st.characters()), max_size=40)


@settings(max_examples=30, deadline=None)
@given(text=st.one_of(st.sampled_from(HOSTILE), NASTY))
def test_no_row_breaks_a_page(runs: dict[str, Path], text: str) -> None:
    """Whatever a row, an id, a file or the recipe says, the page has the same tags as with a harmless text."""

    def drawn(words: str) -> list[str]:
        card = card_of(runs["chnsenticorp"])
        card["examples"] = replaced(card["examples"], words)
        card["recipe"] |= {key: words for key in ("title", "license", "homepage", "citation")}
        card["sources"][0]["file"] = words
        card["ignored_files"], card["ignored"] = [words], 1
        card["segmentation"]["top"] = {words: 3}
        html = draw_page(card, "zh")
        html.encode("utf-8")
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\u200b]", html)
        return Page(html).tags

    assert drawn(text or "无") == drawn("无害")


def replaced(value: Any, words: str) -> Any:
    """The examples of a card with every text of the corpus, and every id, replaced."""
    if isinstance(value, dict):
        fixed = ("step", "split", "reason", "template")
        return {key: one if key in fixed else replaced(one, words) for key, one in value.items()}
    if isinstance(value, list):
        return [replaced(one, words) for one in value]
    return words if isinstance(value, str) else value


def test_a_row_of_a_million_characters_is_cut(tmp_path: Path) -> None:
    long = "长" * 1_000_000
    lines = [f"{i % 2}\t这是第{i}条，各不相同" for i in range(30)]
    lines += [f"1\t{long}", f"1\t{long}", "0\t</script><script>alert(1)</script>", "1\t\u202e反过来\u202c ＡＢＣ"]
    lines += [f"0\t{'前' * 5000}Ａ{'后' * 5000}"]
    source = tmp_path / "train.tsv"
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    run = curate("chnsenticorp", tmp_path / "run", source, overrides=["segment.as=off"]).path
    html = html_of(run)
    assert len(html.encode()) < 400_000
    assert len((run / "card.json").read_bytes()) < 200_000
    assert html.count("<script") == 1
    assert "1,000,000" in Page(html).tables["lengths"][1][-1]
    (row,) = [row for row in card_of(run)["examples"]["rows"] if "Ａ后" in str(row["read"]["text"])]
    assert "A后" in row["cleaned"]["text"], "the place that changed is shown, however far in"
