"""strip_markup: what is left of wiki pages and microblog posts in the text."""

from __future__ import annotations

import re
from functools import partial
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from curate.lazy import pl
from curate.steps import Context, Outcome
from curate.steps.normalise import map_texts
from curate.text.distinct import change_texts, put

#: kind → (rule, pattern, replacement), applied in this order until nothing changes.
RULES: dict[str, tuple[tuple[str, re.Pattern[str], str], ...]] = {
    "wiki": (
        # -{zh-hans:计算机;zh-hant:電腦}- shows one of two wordings: the simplified one is taken.
        ("variant", re.compile(r"-\{[^{}]*?zh-(?:hans|cn):\s*([^;{}]*)[^{}]*\}-"), r"\1"),
        ("variant", re.compile(r"-\{(?:[^{}|]*\|)?([^{}:;]*)\}-"), r"\1"),
        ("braces", re.compile(r"-\{|\}-|\{\s*\}"), ""),
        # Brackets whose foreign-language contents were dropped: （，） or （）.
        ("empty_brackets", re.compile(r"[（(][，,；;、：:\s]*[）)]|【\s*】|《\s*》|\[\s*\]"), ""),
        ("tag", re.compile(r"</?(?:ref|br|small|sup|sub|nowiki|div|span)\b[^<>]*>"), ""),
    ),
    "weibo": (
        ("repost", re.compile(r"//\s*@.*\Z", re.DOTALL), ""),
        ("reply", re.compile(r"^回复\s*@[^:：\s]{1,30}\s*[:：]\s*"), ""),
        ("emoticon", re.compile(r"\[[\u4e00-\u9fffa-zA-Z]{1,6}\]"), ""),
    ),
}


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kinds: list[Literal["wiki", "weibo"]] = Field(default=["wiki"], description="which families of markup to strip")


def run(rows: pl.DataFrame, options: Options, context: Context) -> Outcome:
    """Strip markup from every text field, answers included, so that they still match."""
    counts: dict[str, int] = {}
    rules = [rule for kind in options.kinds for rule in RULES[kind]]
    look = "|".join(f"(?:{mark})" for kind in options.kinds for mark in _LOOK[kind])

    def change(texts: pl.Series) -> pl.Series:
        where = texts.str.contains(look).fill_null(False).arg_true()
        if not len(where):
            return texts
        changed = change_texts(texts.gather(where).to_list(), partial(strip_text, rules), counts)
        return put(texts, where, pl.Series(changed, dtype=pl.String))

    fields = [name for name in ("title", *context.task.text, "answers") if name in context.task.fields]
    return Outcome(rows.with_columns(map_texts(rows[name], change) for name in fields), counts=counts)


#: A cheap look (polars' regex) that finds every text the rules could touch.
_LOOK = {
    "wiki": (r"\{|\}", r"[（(][，,；;、：:\s]*[）)]", r"【\s*】", r"《\s*》", r"\[\s*\]", r"<"),
    "weibo": (r"//\s*@", r"^回复\s*@", r"\[[\x{4e00}-\x{9fff}a-zA-Z]{1,6}\]"),
}


def strip_text(rules: list[tuple[str, re.Pattern[str], str]], text: str, counts: dict[str, int]) -> str:
    """One text without markup. Repeated until nothing changes: `（（））` leaves nothing, and a second run too."""
    while True:
        before = text
        for name, pattern, replacement in rules:
            text, n = pattern.subn(replacement, text)
            if n:
                counts[name] = counts.get(name, 0) + n
        text = text.strip()
        if text == before:
            return text
