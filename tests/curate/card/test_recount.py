"""Every number on card.html is the one worked out from the source, the samples and the rejects: `card_by_hand`."""

from __future__ import annotations

import random
import re
from itertools import pairwise
from pathlib import Path

import near_by_hand
import pytest
from card_by_hand import LIMITS, Recount, rank
from helpers import curate, recipe_file
from mixed import mix, mixture_file, small_run
from mixture_card_by_hand import MixtureRecount
from page_reader import Numbers, number
from tokenizers_by_hand import family

from curate.card.words import LANGUAGES
from curate.recipefile import load_recipe
from curate.resources import sample_path

#: A recipe of each family, and one of the tests' own in whose source everything that a card tells of is planted.
FAMILIES = ("lcqmc", "chnsenticorp", "cmrc2018", "lcsts", "lccc")
STEPS = [
    "normalise", "require", "redact_pii", {"label_conflict": {"by": "key"}}, {"exact_dedup": {"by": "key"}},
    "near_dedup", {"leak_check": {"by": "key", "near": 0.9, "coverage": 0.5}}, {"segment": {"as": "meta"}},
]  # fmt: skip


def planted(folder: Path) -> Path:
    """A source with repeats of all sizes, likenesses, leaks, contradictions, details of persons and broken lines, and
    two benchmarks."""
    folder.mkdir()
    draw = random.Random(7)
    texts = [near_by_hand.made(draw, draw.choice((9, 24, 40, 90, 150, 260))) for _ in range(50)]
    for exam, known in (("exam", texts[:4]), ("quiz", [near_by_hand.changed(draw, text, 1) for text in texts[3:9]])):
        (folder / f"{exam}.txt").write_text("\n".join(known) + "\n", encoding="utf-8")
    for split, count in (("train", 90), ("validation", 40), ("test", 30)):
        lines = ["text\tlabel"]
        for k in range(count):
            text = draw.choice(texts)
            how = draw.random()
            if how < 0.3:
                text = near_by_hand.changed(draw, text, 1)
            elif how < 0.5:
                text = f"{near_by_hand.made(draw, 20)}{text}{near_by_hand.made(draw, 30)}"
            elif how < 0.6:
                text = f"　{text}，电话１３８{draw.randrange(10**8):08}。"
            elif how < 0.7:
                text = f"请写信到 abc@example.com，{text}\u200b "
            label = str(len(text) % 2) if draw.random() < 0.9 else draw.choice("012")
            lines.append(f"{text}\t{label}" if k else "只有一列")
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def recounts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recount]:
    folder = tmp_path_factory.mktemp("recounts")
    found = {}
    for name in FAMILIES:
        source = sample_path(name)
        assert source
        found[name] = Recount(curate(name, folder / name).path, load_recipe(name), source)
    tokenizer = family("qwen3")
    tokenizer.save_pretrained(folder / "tokenizer")
    exams = [str(folder / "source" / name) for name in ("exam.txt", "quiz.txt")]
    steps = [
        *STEPS[:3],
        {"decontaminate": {"against": exams}},
        *STEPS[3:-1],
        {"token_length": {"tokenizer": str(folder / "tokenizer")}},
        STEPS[-1],
    ]
    recipe, source = recipe_file(folder / "own", "classification", steps), planted(folder / "source")
    run = curate(recipe, folder / "planted", source).path
    found["planted"] = Recount(run, load_recipe(str(recipe)), source, tokenizer=tokenizer)
    return found


def shown(run: Path, lang: str) -> Numbers:
    return Numbers((run / "card.html").read_text(encoding="utf-8"), lang)


def is_histogram(place: str) -> bool:
    """Histograms have a test of their own: they may choose their columns."""
    kind, _, name = place.partition(" ")
    return kind in ("hints", "chart") and name.startswith(("lengths-", "tokens"))


@pytest.mark.parametrize("name", [*FAMILIES, "planted"])
def test_every_number_of_the_page_is_accounted_for(recounts: dict[str, Recount], name: str) -> None:
    """Place by place: one without a recount fails too, be it a table that nobody told the recount of."""
    wanted = recounts[name].numbers
    found = shown(recounts[name].run, "zh").numbers
    assert {place: told for place, told in found.items() if not is_histogram(place)} == wanted


def test_what_is_planted_is_found(recounts: dict[str, Recount]) -> None:
    """A recount of nothing but zeros would prove little."""
    wanted = recounts["planted"].numbers
    for place in (
        "leaks",
        "near_leaks",
        "labels",
        "tokens_cut",
        "duplicates",
        "near",
        "changes",
        "pii",
        "flags",
        "rejects",
    ):
        assert sum(cell != "0" for cell in wanted[f"table {place}"]) > 1, place
    assert len(wanted["findings li"]) > 12


@pytest.mark.parametrize("name", [*FAMILIES, "planted"])
def test_both_languages_tell_the_same_numbers(recounts: dict[str, Recount], name: str) -> None:
    zh, en = (shown(recounts[name].run, lang).numbers for lang in LANGUAGES)
    assert {place: sorted(told) for place, told in zh.items()} == {place: sorted(told) for place, told in en.items()}


@pytest.mark.parametrize("name", [*FAMILIES, "planted"])
def test_histograms_count_every_length_once(recounts: dict[str, Recount], name: str) -> None:
    page = shown(recounts[name].run, "zh")
    measured = {f"lengths-{field}": by_split for field, by_split in recounts[name].measured().items()}
    if tokens := recounts[name].tokens():
        measured["tokens"] = {split: [total for _, total in told] for split, told in tokens.items()}
    assert [place for place in page.numbers if is_histogram(place)] == [
        f"{kind} {chart}" for chart in measured for kind in ("hints", "chart")
    ]
    for chart, by_split in measured.items():
        hints, drawn = page.hints[chart], page.numbers[f"chart {chart}"]
        starts = [k for k, hint in enumerate(hints) if re.match(r"0\D", hint)]
        expected: list[str] = []
        for lengths, first, end in zip(by_split.values(), starts, [*starts[1:], len(hints)], strict=True):
            reach = 0
            for hint in hints[first:end]:
                span = re.fullmatch(r"(≥?)([\d,]+)(?:–([\d,]+))?: ([\d,]+)", hint)
                assert span
                low = number(span[2])
                high = max(lengths) if span[1] else number(span[3] or span[2])
                assert low == reach, "columns lie side by side"
                assert number(span[4]) == sum(low <= length <= high for length in lengths)
                reach = high + 1
                expected += [span[2]] if span[1] else []
            assert max(lengths) < reach
            within = number(expected[-1]) if hints[end - 1].startswith("≥") else reach
            marks = LIMITS if chart == "tokens" else (rank(lengths, 50), rank(lengths, 95))
            expected += [f"{mark:,}" for mark in marks if mark < within]
        assert drawn[: len(expected)] == expected
        ticks = [number(tick) for tick in drawn[len(expected) :]]
        assert ticks[0] == 0 and len({b - a for a, b in pairwise(ticks)}) == 1, "an even scale"


def test_every_number_of_a_mixture_is_accounted_for(recounts: dict[str, Recount], tmp_path: Path) -> None:
    """Of runs of the samples, and of two corpora that repeat, contradict and give away each other's rows."""
    runs = {name: recounts[name].run for name in ("lcqmc", "cmrc2018", "lccc")}
    rows = [(f"第{k}个问题怎么办", f"问题{k}怎么处理", str(k % 2)) for k in range(12)]
    contradicted = (*rows[5][:2], "0")
    corpora = {
        "shop": {"train": rows[:8], "validation": rows[8:10], "test": rows[10:11]},
        "town": {"train": [*rows[2:5], contradicted, rows[8], rows[10], rows[11]], "validation": [rows[0]]},
    }
    steps = ["normalise", {"exact_dedup": {"by": "key"}}, "leak_check"]
    runs |= {name: small_run(tmp_path, name, "pair", steps, corpus) for name, corpus in corpora.items()}
    path = mixture_file(tmp_path, {name: {"run": str(run)} for name, run in runs.items()}, temperature=2, total=400)
    run = mix(path, tmp_path / "mixture").path
    wanted = MixtureRecount(run, runs, 2, 400).numbers
    zh, en = (shown(run, lang).numbers for lang in LANGUAGES)
    assert zh == wanted
    assert {place: sorted(told) for place, told in zh.items()} == {place: sorted(told) for place, told in en.items()}
    assert {"table across", "table flags", "table shares"} <= wanted.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["chnsenticorp", "lcqmc", "cmrc2018"])
def test_every_number_of_real_rows_is_accounted_for(name: str, corpora: Path, tmp_path: Path) -> None:
    run = curate(name, tmp_path / "run", corpora / name, limit=150).path
    found = shown(run, "zh").numbers
    wanted = Recount(run, load_recipe(name), corpora / name, limit=150).numbers
    assert {place: told for place, told in found.items() if not is_histogram(place)} == wanted
