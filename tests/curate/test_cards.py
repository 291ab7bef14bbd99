"""`cards`: every corpus that is at hand gets its card, the page compares what the cards say, and ours are today's."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from helpers import RECIPES, REPOSITORY, SPLITS, card, curate, manifest

from curate.card.draw import draw_readme, without_rows
from curate.card.index import draw_index
from curate.cards import read_cards, sources_of, write_cards
from curate.cli import main
from curate.resources import mixture_names, sample_path
from curate.types import UserError

COMMITTED = REPOSITORY / "data_cards"
#: Where the keys of card.json are what is in the data: splits, labels, reasons, fields …; `*` is one of them.
NAMED_BY_DATA = set(
    """
    .labels .labels.* .label_words .splits .duplicates .duplicates.*.reasons
    .duplicates.*.sizes .near.splits .leaks.before .leaks.before.* .leaks.after
    .leaks.after.* .lengths .lengths.* .templates .segmentation.top .sources[].repaired .sources[].encodings .versions
    .steps[].reasons .steps[].flags .steps[].notes .steps[].changes
    """.split()  # noqa: SIM905
)
SOME_DATA = {"files", "member", "target", "encodings", "encoding", "hub", "examples", "tokens", "cap", "moved"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of corpora: two built-in samples under their recipes' names, and one under a part of it."""
    folder = tmp_path / "corpora"
    for recipe, name in (("lcqmc", "lcqmc"), ("chnsenticorp", "chnsenticorp"), ("nlpcc-stance", "nlpcc")):
        shutil.copytree(sample_path(recipe) or "", folder / name)
    return folder


def test_every_corpus_at_hand_has_its_card(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "cards"
    assert main(["cards", "--source-root", str(root), "--out", str(out), "--workers", "1"]) == 0
    told = capsys.readouterr().out
    made = {"lcqmc", "chnsenticorp", "nlpcc-stance"}
    assert {path.name for path in out.iterdir() if path.is_dir()} == made
    for name in made:
        run = curate(name, tmp_path / "runs" / name, root / name.partition("-")[0]).path
        assert json.loads((out / name / "card.json").read_text(encoding="utf-8")) == without_rows(card(run))
        assert f"card: {out / name / 'README.md'}\n" in told
    assert "note: lccc is left out: no folder lccc in" in told
    assert "note: all is left out: a mixture that lacks " in told
    left = [line for line in told.split("\n") if line.startswith("note: nlpcc-")]
    assert {line.split()[1] for line in left} == {"nlpcc-headline", "nlpcc-kbqa", "nlpcc-summary"}
    assert (out / "README.md").read_text(encoding="utf-8") == draw_index(read_cards(out))


def test_a_card_that_is_there_stays_and_is_compared(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "cards"
    write_cards(root, out)
    before = (out / "chnsenticorp" / "card.json").read_bytes()
    shutil.rmtree(root / "chnsenticorp")
    made = write_cards(root, out)
    assert "chnsenticorp" in made.left_out
    assert (out / "chnsenticorp" / "card.json").read_bytes() == before
    assert "[chnsenticorp](chnsenticorp/README.md)" in (out / "README.md").read_text(encoding="utf-8")


def test_bad_folders(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        write_cards(tmp_path / "nowhere", tmp_path / "cards")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no folder lcqmc in"):
        write_cards(tmp_path / "empty", tmp_path / "cards")
    assert not (tmp_path / "cards").exists()
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "README.md").write_text("# Mine\n", encoding="utf-8")
    with pytest.raises(UserError, match="is not a page about data cards"):
        write_cards(root, tmp_path / "project")
    assert [path.name for path in (tmp_path / "project").iterdir()] == ["README.md"]


def test_both_years_of_ecdt_are_taken_together(tmp_path: Path) -> None:
    folder = tmp_path / "ecdt"
    (folder / "smp2017_task1" / "train").mkdir(parents=True)
    assert sources_of("ecdt", tmp_path) == [folder / "smp2017_task1"]
    (folder / "smp2019_nlu_train.json").write_text("[]", encoding="utf-8")
    assert sources_of("ecdt", tmp_path) == [folder / "smp2019_nlu_train.json", folder / "smp2017_task1"]


def numbers(cell: str) -> list[float]:
    return [float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*(?:\.\d+)?", cell)]


def test_the_page_says_what_the_cards_say() -> None:
    """Each figure counted again from card.json, on the cards of the real corpora."""
    cards = read_cards(COMMITTED)
    page = draw_index(cards).split("\n")
    rows: dict[str, list[list[str]]] = {}
    for line in page:
        if match := re.match(r"\| \[(.+?)\]\((.+?)/README\.md\) \| (.*) \|$", line):
            assert match[1] == match[2]
            rows.setdefault(match[1], []).append([cell.strip() for cell in match[3].split(" | ")])
    assert list(rows) == [*sorted(set(cards) - set(mixture_names())), *mixture_names()]
    for name, (first, second) in rows.items():
        told = cards[name]
        for column, key in enumerate(("read", "written", "rejected"), 1):
            assert numbers(first[column]) == [sum(counts[key] for counts in told["splits"].values())]
        if "mixture" in told:
            continue
        assert numbers(first[4])[0] == sum(one["rows"] for one in told["duplicates"].values())
        steps = [entry for entry in told["steps"] if entry["step"] == "label_conflict"]
        conflicts = sum(sum(entry[kind].values()) for entry in steps for kind in ("reasons", "flags"))
        assert numbers(first[5]) == ([conflicts] if steps else [])
        leaks = [seen["train"] for seen in told["leaks"]["before"].values() if "train" in seen]
        assert [numbers(part)[:2] for part in first[6].split("; ") if part != "–"] == [
            [leak["rows"], leak["of"]] for leak in leaks
        ]
        split = next((s for s in SPLITS if told["lengths"].get(s)), "")
        lengths = [m["chars"][p] for m in told["lengths"].get(split, {}).values() for p in ("p50", "p95")]
        assert numbers(second[1]) == lengths
        labels = next((told["labels"][s] for s in SPLITS if told["labels"].get(s)), {})
        counts = [n for label, n in labels.items() if label and n]
        shares = [round(100 * n / sum(counts), 1) for n in (min(counts), max(counts))] if counts else []
        assert numbers(second[0]) == ([len(counts), *shares] if counts else [])


# ---- the cards that are committed


def differing(fresh: Any, kept: Any, where: str = "") -> list[str]:
    """Where two cards have other keys or types, beside what is named by the data."""
    if type(fresh) is not type(kept):
        both = isinstance(fresh, int | float) and isinstance(kept, int | float)
        return [] if both or None in (fresh, kept) else [f"{where}: {type(kept).__name__}, now {type(fresh).__name__}"]
    if isinstance(fresh, list):
        return differing(fresh[0], kept[0], f"{where}[]") if fresh and kept else []
    if not isinstance(fresh, dict):
        return []
    if where in NAMED_BY_DATA:
        return differing(next(iter(fresh.values())), next(iter(kept.values())), f"{where}.*") if fresh and kept else []
    found = [f"{where}.{key}: only in one of them" for key in (fresh.keys() ^ kept.keys()) - SOME_DATA]
    shared = [key for key in fresh if key in kept]
    return found + [line for key in shared for line in differing(fresh[key], kept[key], f"{where}.{key}")]


def test_another_format_is_seen() -> None:
    """A key that is new, gone or of another type is found at every depth; other data is no other format."""
    kept = json.loads((COMMITTED / "lcqmc" / "card.json").read_text(encoding="utf-8"))
    fresh = json.loads(json.dumps(kept))
    fresh["labels"]["train"]["9"] = fresh["steps"][0]["reasons"]["odd"] = 1
    assert differing(fresh, kept) == []
    fresh["new"] = fresh["leaks"]["before"]["validation"]["train"]["more"] = fresh["steps"][0]["time"] = 1
    del fresh["lengths"]["train"]["a"]["chars"]["p5"]
    fresh["seed"] = "0"
    assert sorted(differing(fresh, kept)) == [
        ".leaks.before.*.*.more: only in one of them",
        ".lengths.*.*.chars.p5: only in one of them",
        ".new: only in one of them",
        ".seed: int, now str",
        ".steps[].time: only in one of them",
    ]


@pytest.mark.parametrize("name", RECIPES)
def test_our_cards_have_todays_format(name: str, tmp_path: Path) -> None:
    """What a run's card has today, the committed one has: else `curate cards` is to be run again."""
    run = curate(name, tmp_path / "run").path
    kept = json.loads((COMMITTED / name / "card.json").read_text(encoding="utf-8"))
    assert differing(without_rows(card(run)), kept) == []
    assert kept["metrics"] == manifest(run)["metrics"]
    assert [*dict.fromkeys(entry["step"] for entry in kept["steps"])] == [
        *dict.fromkeys(entry["step"] for entry in manifest(run)["steps"])
    ]


@pytest.mark.parametrize("name", [*RECIPES, *mixture_names()])
def test_our_cards_are_drawn_as_they_would_be_today(name: str) -> None:
    kept = json.loads((COMMITTED / name / "card.json").read_text(encoding="utf-8"))
    assert (COMMITTED / name / "README.md").read_text(encoding="utf-8") == draw_readme(kept, [], "zh")


def test_our_page_is_todays() -> None:
    assert (COMMITTED / "README.md").read_text(encoding="utf-8") == draw_index(read_cards(COMMITTED))


def texts(value: Any, key: str = "") -> list[str]:
    """Every text of a card, keys too, but what the recipes say of themselves."""
    if key in ("recipe", "reproduce", "title", "license", "homepage", "citation", "label_words", "labels"):
        return []
    if isinstance(value, dict):
        return [text for name, part in value.items() for text in [name, *texts(part, name)]]
    if isinstance(value, list):
        return [text for part in value for text in texts(part)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("name", [*RECIPES, *mixture_names()])
def test_no_sentence_of_a_corpus_stands_in_our_cards(name: str) -> None:
    """Words are all that a card has of a corpus; a sentence would have more characters in a row."""
    kept = json.loads((COMMITTED / name / "card.json").read_text(encoding="utf-8"))
    assert "examples" not in kept
    assert [text for text in texts(kept) if re.search(r"[\u3400-\u9fff]{8}", text)] == []
