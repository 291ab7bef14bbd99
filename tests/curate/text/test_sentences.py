"""Where a text may be cut: after a sentence and the quotes that belong to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.text.sentences import cut_at, cut_from, sentences_around


@pytest.mark.parametrize(
    ("text", "most", "kept"),
    [
        ("短。", 5, "短。"),
        ("第一句。第二句。", 5, "第一句。"),
        ("他说：“走吧！”她没动。", 9, "他说：“走吧！”"),
        ("他走了。他说：“走吧！”她没动。", 10, "他走了。"),  # not between ！ and ”
        ("（见上文。）下一句。", 7, "（见上文。）"),
        ("真的吗？！……不信。", 7, "真的吗？！……"),
        ("圆周率是3.14，还有后文。", 9, "圆周率是3.14，"),
        ("没有句号，只有逗号，继续写", 8, "没有句号，"),
        ("一二三四五六七八", 3, "一二三"),
        ("标题\n正文没有句号", 5, "标题\n"),
        ("实验如下.作者认为正确", 8, "实验如下."),
        ("他说：“好。”。下一句。", 8, "他说：“好。”。"),
        ("（《书》【注。】）下一句。", 10, "（《书》【注。】）"),
        ("「走吧。」｢好｡｣再见。", 9, "「走吧。」｢好｡｣"),
        ('他说："走吧！"她没动。', 9, '他说："走吧！"'),
        ('他走了。"再见！"她说。', 7, "他走了。"),  # the quote opens what follows
        ("(He said no.) Then he left.", 15, "(He said no.)"),
        ('"No." "Yes." more', 9, '"No."'),
        ("等等...然后没有了", 7, "等等..."),
        ("版本1..3都可以，再说", 6, "版本1..3"),
        # Where there is no end in reach, marks stay with what they belong to.
        ("一二三四……五六", 5, "一二三"),
        ("一二三四”五六", 4, "一二三"),
        ("一二三“四五六”", 4, "一二三"),
        ("……………………", 3, "………"),
    ],
)
def test_cut(text: str, most: int, kept: str) -> None:
    assert text[: cut_at(text, most)] == kept


TEXT = st.text(st.sampled_from("好的。！”’）.，3 \n…“「」\"'"), max_size=60)


@given(TEXT, st.integers(1, 20), st.integers(0, 10))
def test_a_cut_goes_on_and_is_in_reach(text: str, most: int, start: int) -> None:
    end = cut_at(text, most, start)
    if start < len(text):
        assert start < end <= min(len(text), start + most)


@pytest.mark.parametrize(
    ("text", "least", "most", "left"),
    [
        ("一句。二句。三句。", 0, 9, "一句。二句。三句。"),
        ("一句。二句。三句。", 1, 9, "二句。三句。"),
        ("一句。二句。三句。", 4, 9, "三句。"),
        ("一句。二，句三句。", 4, 8, "句三句。"),
        ("一句。二句三句四", 4, 6, "句三句四"),
        ("他说：“走。”她没动。", 2, 8, "她没动。"),
        ('他走了。"再见！"', 1, 8, '"再见！"'),
    ],
)
def test_cut_from(text: str, least: int, most: int, left: str) -> None:
    assert text[cut_from(text, least, most) :] == left


@given(TEXT, st.integers(0, 60), st.integers(0, 60))
def test_a_beginning_is_between_what_must_go_and_what_must_stay(text: str, one: int, other: int) -> None:
    least, most = sorted((min(one, len(text)), min(other, len(text))))
    assert least <= cut_from(text, least, most) <= most


@pytest.mark.parametrize(
    ("part", "around"),
    [
        ("二", "二句。”"),
        ("句。二", "一句。二句。”"),
        ("三", "三句"),
        ("一句。", "一句。"),
        ("“", "“！"),
        ("”", "二句。”"),
    ],
)
def test_sentences_around(part: str, around: str) -> None:
    text = "一句。二句。”“！三句"
    first = text.index(part)
    start, stop = sentences_around(text, first, first + len(part))
    assert text[start:stop] == around
    assert start <= first and first + len(part) <= stop
