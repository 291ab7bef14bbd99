"""Where a text may be cut: after a sentence and the quotes that belong to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.text.sentences import cut_at


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
