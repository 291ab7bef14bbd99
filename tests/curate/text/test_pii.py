"""Personal details: a labelled set of the project's own, and what must hold of any text."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.text.pii import (
    KINDS,
    PLACEHOLDERS,
    Span,
    detail,
    find,
    find_each,
    find_together,
    mask,
    mask_all,
    may_hold,
    moved,
)
from curate.text.pii_rules import RULES, loosened

CASES = Path(__file__).with_name("pii_cases.txt")


def labelled() -> list[tuple[str, set[Span]]]:
    """Each line as its text and the details marked in it, as ⟦kind|…⟧."""
    found = []
    for line in CASES.read_text(encoding="utf-8").split("\n"):
        if not line or line.startswith("#"):
            continue
        text, spans = "", set()
        for part in re.split(r"(⟦\w+\|[^⟧]*⟧)", line):
            kind, bar, value = part.strip("⟦⟧").partition("|")
            if part.startswith("⟦") and bar:
                spans.add((len(text), len(text) + len(value), kind))
            text += value if bar and part.startswith("⟦") else part
        found.append((text, spans))
    return found


LABELLED = labelled()
TEXTS = [text for text, _ in LABELLED]


def test_the_set_is_half_details_and_half_ordinary_numbers() -> None:
    assert len(LABELLED) >= 400
    assert len(set(TEXTS)) == len(TEXTS)
    assert 0.4 < sum(bool(spans) for _, spans in LABELLED) / len(LABELLED) < 0.6
    assert min(Counter(kind for _, spans in LABELLED for *_, kind in spans).values()) >= 20
    assert sum(bool(re.search("[0-9]", text)) for text, spans in LABELLED if not spans) > 200


def test_precision_and_recall_by_kind() -> None:
    right: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    for text, spans in LABELLED:
        found = set(find(text))
        right.update(kind for *_, kind in found & spans)
        wrong.update(kind for *_, kind in found - spans)
        missed.update(kind for *_, kind in spans - found)
    assert set(right) == set(KINDS)
    assert right.total() >= 0.99 * (right.total() + wrong.total()), wrong
    for kind in KINDS:
        assert right[kind] >= 0.95 * (right[kind] + missed[kind]), (kind, missed)
        assert right[kind] >= 0.95 * (right[kind] + wrong[kind]), (kind, wrong)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("电话138\u200b1234\u200b5678", "电话[手机号]"),
        ("手机１３８－１２３４－５６７８", "手机[手机号]"),
        ('["1 3 8 1 2 3 4 5 6 7 8", "好 的"]', '["[手机号]", "好 的"]'),
        ("13812345678@139.com", "[邮箱]"),
        ("见http://a.cn/13812345678。", "见[网址]。"),
        ("QQ13812345678", "QQ[手机号]"),
        ("身份证号110101199003074515", "身份证号110101199003074515"),  # the check digit is wrong
        ("卡号6222021234567890123", "卡号6222021234567890123"),
        ("13812345678,13912345678/13712345678", "[手机号],[手机号]/[手机号]"),
        ("https://", "https://"),
    ],
)
def test_masks(text: str, masked: str) -> None:
    assert mask_all(text) == masked


def test_kinds_are_chosen_after_the_finding() -> None:
    """An address that isn't looked for keeps the number in it from being one of its own."""
    assert mask_all("13812345678@139.com，13812345678", ["mobile"]) == "13812345678@139.com，[手机号]"


def test_what_one_text_names_is_known_in_the_others() -> None:
    texts = ["他的QQ号是349583721。", "349583721", "1349583721", "房价349583721"]
    spans = find_together(texts, [0] * len(texts))
    assert [mask(text, some) for text, some in zip(texts, spans, strict=True)] == [
        "他的QQ号是[QQ号]。", "[QQ号]", "1349583721", "房价[QQ号]",
    ]  # fmt: skip
    assert detail(texts[0], spans[0][0]) == "349583721"


def test_places_move_with_the_text() -> None:
    text = "a13812345678b".replace("a", "甲").replace("b", "乙")
    spans = find(text)
    masked = mask(text, spans)
    assert masked == "甲[手机号]乙"
    assert masked[moved(12, spans)] == "乙"
    assert (moved(0, spans), moved(1, spans), moved(5, spans), moved(5, spans, end=True)) == (0, 1, 1, 6)


# ---- any text

PIECES = [text for text, spans in LABELLED if spans][::4] + [
    text[start:end] for text, spans in LABELLED for start, end, _ in sorted(spans)
][::3]
NOISE = st.text(
    st.sampled_from("0123456789１３８一三八 -.:：@/#()（）aXqQvx微信电话加号，。\u200b\u3000\n[]"), max_size=12
)
MIXED = st.lists(st.sampled_from(PIECES) | NOISE, max_size=4).map("".join)


@given(st.lists(MIXED, max_size=8))
def test_many_texts_at_once_are_as_one_by_one(texts: list[str]) -> None:
    assert find_each(texts) == [find(text) for text in texts]


def test_the_labelled_set_at_once_and_cut_anywhere() -> None:
    cut = [part for text in TEXTS for at in range(0, len(text), 3) for part in (text[at:], text[: at + 1])]
    assert find_each(cut) == [find(text) for text in cut]


def test_what_shows_once_its_neighbour_is_masked() -> None:
    texts = ["手机13812345678QQ10001", "13812345678+86 21 6018 7031，", "好的"]
    found = find_each(texts)
    assert found == [find(text) for text in texts]
    assert [[kind for *_, kind in spans] for spans in found] == [["mobile", "qq"], ["mobile", "landline"], []]


@given(MIXED)
def test_a_loosened_pattern_fits_wherever_its_rule_does(text: str) -> None:
    column = pl.Series([text])
    for rule in RULES:
        assert column.str.contains(rule.loose).item() or not rule.pattern.search(text)


def test_loosened() -> None:
    assert loosened(r"(?<!\d)(?P<it>[ \d]{2} (?P<by>[ -]?|x(?=y)) 1(?P=by)\d)(?![)\]]|\)) z") == (
        r"(?:[ 0-9]{2}(?:[ -]?|x)1(?:(?:[ -]?|x))[0-9])z"
    )


@given(st.lists(MIXED, min_size=1, max_size=8))
def test_the_first_pass_misses_nothing(texts: list[str]) -> None:
    flagged = pl.DataFrame({"text": texts}).select(may_hold(pl.col("text"))).to_series().to_list()
    assert all(flag for text, flag in zip(texts, flagged, strict=True) if find(text))


def test_the_first_pass_leaves_most_real_texts_out() -> None:
    plain = [text for text, spans in LABELLED if not spans]
    flagged = pl.DataFrame({"text": TEXTS}).select(may_hold(pl.col("text"))).to_series()
    assert all(flag for flag, text in zip(flagged.to_list(), TEXTS, strict=True) if find(text))
    assert flagged.sum() < len(TEXTS) - len(plain) + 0.5 * len(plain)


@given(MIXED)
def test_spans_are_in_order_and_masking_leaves_none(text: str) -> None:
    spans = find(text)
    assert all(start < end for start, end, _ in spans)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    once = mask(text, spans)
    assert mask_all(once) == once
    for start, end, _ in spans:
        assert text[start:end] not in PLACEHOLDERS.values()


@given(st.sampled_from(LABELLED), st.data())
def test_width_and_invisible_characters_hide_nothing(case: tuple[str, set[Span]], data: st.DataObject) -> None:
    """Full-width digits, and a zero-width space inside a detail, change nothing of what is found."""
    text, spans = case
    wide = text.translate({code: code + 0xFEE0 for code in range(ord("0"), ord("9") + 1)})
    assert set(find(wide)) == set(find(text))
    for start, end, kind in sorted(spans & set(find(text))):
        at = data.draw(st.integers(start + 1, end - 1))
        found = find(f"{text[:at]}\u200b{text[at:]}")
        assert (start, end + 1, kind) in found
