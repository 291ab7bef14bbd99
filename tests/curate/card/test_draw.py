"""The card's text: drawn from card.json alone, in two languages, and no row's text can break it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from contract_files import check_readme, front_matter, read_lines
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.card import export_card, write_card
from curate.card.draw import draw_readme, without_rows
from curate.card.frontmatter import license_fields, size_category
from curate.card.meanings import meaning
from curate.card.shown import REJECTS
from curate.pipeline import curate_recipe
from curate.recipefile import load_recipe
from curate.resources import recipe_names
from curate.steps import STEPS
from curate.tasks import TASKS
from curate.types import UserError
from jingtiao.both import LANGUAGES
from jingtiao.markdown import cell, clip, fence, table

SPLITS = ("train", "validation", "test")

#: What Markdown, HTML and YAML could take for their own, and what turns or hides text.
NASTY = st.text(
    st.one_of(st.sampled_from("|`<>&*_[]()\\\n\r\t\u2028\x85\x0b\x00\u202e\u200b#-~$\"':{}%"), st.characters()),
    max_size=40,
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The run of every shipped recipe on its built-in sample."""
    folder = tmp_path_factory.mktemp("runs")
    for name in recipe_names():
        curate_recipe(load_recipe(name, ["segment.as=off"]), [], out=folder / name, workers=1)
    return {name: folder / name for name in recipe_names()}


def card_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "card.json").read_text(encoding="utf-8"))


def tables(text: str) -> list[list[int]]:
    """The number of cells of every row of every table outside fenced blocks."""
    found: list[list[int]] = []
    fenced = ""
    inside = False
    for row in text.split("\n"):
        if fenced:
            fenced = "" if row == fenced else fenced
            continue
        if match := re.match(r"`{3,}", row):
            fenced, inside = match[0], False
            continue
        if row.startswith("|"):
            if not inside:
                found.append([])
            found[-1].append(row.count("|") - 1)
        inside = row.startswith("|")
    assert not fenced, "a block is never closed"
    return found


def section(text: str, title: str) -> list[list[str]]:
    """The cells of the first table under a heading."""
    body = text.split(f"\n## {title}\n", 1)[1].split("\n## ")[0]
    rows = [row for row in body.split("\n") if row.startswith("|")]
    return [[part.strip() for part in row.strip("|").split("|")] for row in rows]


# ---- one text


@given(st.lists(st.lists(NASTY, min_size=3, max_size=3), max_size=4))
def test_no_text_adds_or_takes_a_cell(rows: list[list[str]]) -> None:
    lines = table(["a", "b", "c"], rows).split("\n")
    assert len(lines) == 2 + len(rows)
    assert [row.count("|") for row in lines] == [4] * len(lines)
    assert len("\n".join(lines).splitlines()) == len(lines)


@given(NASTY)
def test_a_cell_has_no_markup(text: str) -> None:
    shown = cell(text)
    assert not re.search(r"[\n\r|`<>*\\\[\]]", shown)
    shown.encode("utf-8", "strict")
    assert all(char.isprintable() or char.isspace() for char in shown)


@given(st.text("`\n\ra", max_size=30))
def test_a_fence_is_never_closed_from_inside(text: str) -> None:
    first, *body, last = fence(text).split("\n")
    assert last == first.removesuffix("text")
    assert last not in [row.strip() for row in body]


def test_texts_are_cut_and_unseen_characters_shown() -> None:
    assert len(clip("字" * 400)) == 300
    assert clip("字" * 400).endswith("…")
    assert cell("a\u200bb\nc") == "a⟨U+200B⟩b⏎c"
    assert cell("label_conflict _a_") == "label_conflict &#95;a&#95;"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("CC BY-SA 4.0", {"license": "cc-by-sa-4.0"}),
        ("CC BY-SA 2.0", {"license": "other", "license_name": "cc-by-sa-2.0"}),
        ("MIT", {"license": "mit"}),
        ("Apache-2.0", {"license": "apache-2.0"}),
        ("none stated", {"license": "other", "license_name": "none-stated"}),
        ("", {"license": "other", "license_name": "not-stated"}),
        ("仅供研究", {"license": "other", "license_name": "not-stated"}),
    ],
)
def test_licences_have_the_hubs_names(text: str, wanted: dict[str, str]) -> None:
    assert license_fields(text) == wanted


def test_size_categories() -> None:
    assert [size_category(n) for n in (0, 999, 1000, 99_999, 10**6, 10**8 - 1, 10**8)] == [
        "n<1K", "n<1K", "1K<n<10K", "10K<n<100K", "1M<n<10M", "10M<n<100M", "100M<n<1B"
    ]  # fmt: skip


def test_every_reason_and_metric_has_its_meaning() -> None:
    names = {reason for step in STEPS.values() for reason in step.reasons}
    names |= {metric for task in TASKS.values() for metric in task.metrics}
    for name in names:
        assert meaning(name, "en") != name.replace("_", " "), name
        assert not meaning(name, "zh").isascii(), name


# ---- whole cards


@pytest.mark.parametrize("name", recipe_names())
def test_the_front_matter_fits_the_rows(runs: dict[str, Path], name: str) -> None:
    rows = {split: read_lines(runs[name] / f"{split}.jsonl", []) for split in SPLITS}
    assert check_readme(runs[name], rows) == []


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("name", recipe_names())
def test_tables_are_whole_and_texts_filled(runs: dict[str, Path], name: str, lang: str) -> None:
    text = draw_readme(card_of(runs[name]), [], lang)
    found = tables(text)
    assert len(found) > 6
    assert all(len(set(counts)) == 1 for counts in found)
    assert "{{" not in text.split("```")[0]
    assert "\n\n\n" not in text
    assert text.endswith("\n")


@pytest.mark.parametrize("name", recipe_names())
def test_the_funnel_adds_up(runs: dict[str, Path], name: str) -> None:
    rows = section(draw_readme(card_of(runs[name]), [], "en"), "Where the rows went")
    for split, column in enumerate(rows[0][1:], 1):
        numbers = {row[0]: int(row[split].replace(",", "")) for row in rows[2:]}
        written, flagged = numbers.pop("written"), numbers.pop("of these flagged")
        assert sum(numbers.values()) == written, column
        assert flagged <= written


def test_the_card_begins_with_what_leaked(runs: dict[str, Path]) -> None:
    zh, en = (draw_readme(card_of(runs["chnsenticorp"]), [], lang) for lang in LANGUAGES)
    assert "- 测试集 17 行中有 3 行（17.6 %）的文本在训练集中出现过；这些训练行已移除。" in zh
    assert (
        "- 3 of the 17 rows of test (17.6 %) have a text that also stands in train; those training rows were removed."
        in en
    )


def test_a_card_draws_every_reject_with_examples(runs: dict[str, Path]) -> None:
    card = card_of(runs["lcqmc"])
    text = draw_readme(card, [], "zh")
    for group in card["examples"]["rejects"]:
        assert 0 < len(group["rows"]) <= REJECTS
        assert [row["id"] in text for row in group["rows"]][:3] == [True] * min(3, len(group["rows"]))
    for name in card["templates"]:
        assert f"示例 {name} (" in text


def test_without_rows_there_is_no_text_of_the_corpus(runs: dict[str, Path], tmp_path: Path) -> None:
    for name, run in runs.items():
        before = (run / "README.md").read_bytes()
        export_card(run, tmp_path / name)
        shown = "".join((tmp_path / name / file).read_text(encoding="utf-8") for file in ("README.md", "card.json"))
        for split in SPLITS:
            for row in read_lines(run / f"{split}.jsonl", []):
                assert len(row["input"]) < 12 or row["input"] not in shown
                assert len(row["output"]) < 8 or row["output"] not in shown
                assert row["meta"]["id"] not in shown
        assert "configs" not in front_matter(shown)
        assert (run / "README.md").read_bytes() == before
        with pytest.raises(UserError, match="run folder"):
            export_card(run, run)


def test_without_rows_leaves_the_card_as_it_was(runs: dict[str, Path]) -> None:
    card = card_of(runs["lcqmc"])
    bare = without_rows(card)
    assert "examples" in card
    assert bare == {key: value for key, value in card.items() if key != "examples"}


def drawn(run: Path) -> dict[str, bytes]:
    files = [run / "README.md", run / "card.html", *sorted((run / "figures").iterdir())]
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in files}


def test_a_card_drawn_again_is_the_same(runs: dict[str, Path], tmp_path: Path) -> None:
    for run in runs.values():
        before = drawn(run)
        (run / "figures" / "of-an-older-card.svg").write_text("<svg/>", encoding="utf-8")
        assert write_card(run) == run / "card.html"
        assert drawn(run) == before
    english = tmp_path / "english"
    curate_recipe(load_recipe("lcqmc", ["segment.as=off"]), [], out=english, lang="en", workers=1)
    before = drawn(english)
    write_card(english)
    assert drawn(english) == before
    write_card(english, "zh")
    assert all(drawn(english)[name] != before[name] for name in before)


def test_every_figure_of_the_readme_is_there(runs: dict[str, Path]) -> None:
    for run in runs.values():
        linked = re.findall(r"\]\((figures/[^)]+)\)", (run / "README.md").read_text(encoding="utf-8"))
        assert sorted(linked) == sorted(name for name in drawn(run) if name.startswith("figures/"))
        assert "figures/lengths-" in " ".join(linked)


def test_a_folder_without_a_card_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such run"):
        write_card(tmp_path / "nothing")
    (tmp_path / "manifest.json").write_text('{"fingerprint": "x"}', encoding="utf-8")
    with pytest.raises(UserError, match="no readable card"):
        write_card(tmp_path)


@settings(max_examples=40)
@given(text=NASTY, lang=st.sampled_from(LANGUAGES))
def test_no_row_breaks_a_card(runs: dict[str, Path], text: str, lang: str) -> None:
    card = card_of(runs["lccc"])
    for sample in card["examples"]["templates"].values():
        sample |= {
            "instruction": text,
            "input": text,
            "output": text,
            "history": [[text, text]],
            "system": text,
            "id": text,
        }
    for group in card["examples"]["rejects"]:
        for row in group["rows"]:
            row |= {
                "id": text,
                "fields": {"raw": text, "file": text, "line": 1} if len(text) % 2 else {"turns": [text]},
            }
    card["recipe"] |= {key: text for key in ("title", "license", "homepage", "citation")}
    card["sources"][0]["file"] = text
    card["ignored_files"] = [text]
    drawn = draw_readme(card, [], lang)
    assert all(len(set(counts)) == 1 for counts in tables(drawn))
    headings = [row for row in drawn.split("---\n", 2)[2].split("\n") if row.startswith("## ")]
    assert headings == [
        row for row in draw_readme(card_of(runs["lccc"]), [], lang).split("\n") if row.startswith("## ")
    ]
    assert front_matter(drawn)["language"] == ["zh"]
    drawn.encode("utf-8")


def test_a_split_that_the_recipe_made_is_said(tmp_path: Path) -> None:
    source = tmp_path / "train.tsv"
    rows = [f"{i % 2}\t这是第{i}条评论，内容各不相同" for i in range(60)]
    source.write_text("\n".join(rows) + "\n", encoding="utf-8")
    curate_recipe(load_recipe("chnsenticorp", ["segment.as=off"]), [str(source)], out=tmp_path / "run", workers=1)
    text = draw_readme(card_of(tmp_path / "run"), [], "en")
    assert "The corpus has no validation split" in text
    row = next(row for row in section(text, "Overlap between the splits") if row[0].startswith("rows of validation"))
    assert row[2:4] == ["–", "0"]
    assert [row[0] for row in section(text, "Where the rows went")][3] == "moved"


def test_chnsenticorp_shows_its_overlap(corpora: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    curate_recipe(load_recipe("chnsenticorp", ["segment.as=off"]), [str(corpora / "chnsenticorp")], out=run)
    found = re.search(
        r"验证集 1,200 行中有 3\d\d 行（(2[78]\.\d) %）的文本在训练集中出现过；这些训练行已移除",
        (run / "README.md").read_text("utf-8"),
    )
    assert found, (run / "README.md").read_text("utf-8")[:2000]


def test_many_files_are_one_line(runs: dict[str, Path]) -> None:
    """A corpus of a document a file: a line a split, whose figures add up."""
    card = card_of(runs["fudan"])
    readme = (runs["fudan"] / "README.md").read_text(encoding="utf-8")
    assert [(entry["file"], entry["files"], entry["rows"]) for entry in card["sources"]] == [
        ("train/", 53, 53),
        ("answer/", 21, 21),
    ]
    rows = [row[:4] + row[5:] for row in section(readme, "数据文件")[2:]]
    assert rows == [
        [e["split"], f"{e['file']} ({e['files']})", "folders", str(e["rows"]), f"{e['bytes']:,}", e["sha256"]]
        for e in card["sources"]
    ]
    assert "逐个文件见 manifest.json" in readme
    assert "manifest.json" not in (runs["lccc"] / "README.md").read_text(encoding="utf-8")


def test_files_left_aside_are_counted_and_the_first_named(runs: dict[str, Path]) -> None:
    card = card_of(runs["lccc"])
    assert "未使用" not in draw_readme(card, [], "zh")
    drawn = draw_readme({**card, "ignored_files": ["a.txt", "b.txt"], "ignored": 1234}, [], "zh")
    assert "未使用的文件：a.txt, b.txt等 1,234 个（全部见 manifest.json）\n" in drawn
    drawn = draw_readme({**card, "ignored_files": ["a.txt"], "ignored": 1}, [], "en")
    assert "Files left aside: a.txt\n" in drawn
