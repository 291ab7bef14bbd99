"""The page that compares all data cards of a folder: a table of rows and one of texts, in Chinese and in English."""

from __future__ import annotations

from typing import Any

from curate.card.draw import count_of
from curate.types import SPLITS
from jingtiao.markdown import cell, table
from jingtiao.numbers import count as _n
from jingtiao.numbers import percent, with_share

Card = dict[str, Any]

TITLE = "# Data cards of the real corpora"
_INTRO = """\
各语料真实文件的数据卡：只有数字，没有任何语料原文。每份 `card.json` 有全部数字，`README.md` 由它画出。
What the shipped recipes make of the corpora as published: figures only, no sentence of any corpus. `card.json` holds
every figure, `README.md` is drawn from it."""
_ROWS = """\
## 行 · Rows

重复、标注冲突：各划分合计。泄漏：该评测划分中同时见于训练集的行；这些训练行已移除。
Duplicates and label conflicts are of all splits together. Leaks are rows of an evaluation split that train has too;
those rows of train were removed."""
_TEXTS = """\
## 标签与长度 · Labels and lengths

标签：个数，及最少与最多的标签各占多少。长度：各字段字符数的中位数与第 95 百分位。
都取自训练集；没有训练集，则取有的那一个划分。
Labels: how many, and the shares of the rarest and of the commonest. Lengths: characters of each field, median and
95th percentile. Both of train, or where there is none, of the split that there is."""
_AGAIN = """\
## 重新生成 · Remade by

```bash
python -m curate cards --source-root CORPORA --out data_cards
```

`CORPORA` 下每份语料一个文件夹，与配方同名（`nlpcc` 供四个 nlpcc 配方）。所用的文件与其 sha256 列在各数据卡里。
`CORPORA` has a folder a corpus, called as its recipe is (`nlpcc` for the four of NLPCC). The files that were at hand,
and their sha256, are listed in each card."""


def draw_index(cards: dict[str, Card]) -> str:
    """The page about some cards, by the names of their folders; mixtures stand last."""
    order = sorted(cards, key=lambda name: ("mixture" in cards[name], name))
    shown = [(name, cards[name]) for name in order]
    rows = table(
        ["语料 corpus", "任务 task", "读入 read", "写出 written", "剔除 rejected",
         "重复 duplicates", "标注冲突 conflicts", "泄漏 leaks"],
        [[name, _task(card), *_sums(card), _duplicates(card), _conflicts(card), _leaks(card)]
         for name, card in shown],
        2,
    )  # fmt: skip
    texts = table(
        ["语料 corpus", "标签 labels", "长度 lengths (p50 / p95)", "许可 licence"],
        [[name, _labels(card), _lengths(card), card["recipe"]["license"] or "–"] for name, card in shown],
        4,
    )
    return "\n\n".join([TITLE, _INTRO, _ROWS, _linked(rows, order), _TEXTS, _linked(texts, order), _AGAIN]) + "\n"


def _linked(rows: str, names: list[str]) -> str:
    """A table whose first cells lead to the cards that they name."""
    for name in names:
        rows = rows.replace(f"\n| {cell(name)} |", f"\n| [{cell(name)}]({name}/README.md) |")
    return rows


def _task(card: Card) -> str:
    return f"{len(card['mixture']['corpora'])} corpora" if "mixture" in card else card["recipe"]["task"]


def _sums(card: Card) -> list[str]:
    return [_n(sum(counts[key] for counts in card["splits"].values())) for key in ("read", "written", "rejected")]


def _duplicates(card: Card) -> str:
    if "mixture" in card:  # its parts have lost theirs: what is left is between them
        read = sum(counts["read"] for counts in card["splits"].values())
        return with_share(count_of(card, "exact_dedup", "reasons") + count_of(card, "exact_dedup", "flags"), read)
    told = card["duplicates"].values()
    return with_share(sum(one["rows"] for one in told), sum(one["of"] for one in told)) if told else "–"


def _conflicts(card: Card) -> str:
    if not any(entry["step"] == "label_conflict" for entry in card["steps"]):
        return "–"
    return _n(sum(count_of(card, "label_conflict", kind) for kind in ("reasons", "flags")))


def _leaks(card: Card) -> str:
    if "mixture" in card:
        return _n(count_of(card, "leak_check", "reasons", "train"))
    found = [(split, seen["train"]) for split, seen in card["leaks"]["before"].items() if "train" in seen]
    told = [
        f"{split}: {_n(one['rows'])} / {_n(one['of'])} ({percent(one['rows'], one['of'])})" for split, one in found
    ]
    return "; ".join(told) or "–"


def _first(card: Card, key: str) -> Any:
    """What is told of train, or of the first split that it is told of."""
    told = card.get(key) or {}
    return next((told[split] for split in SPLITS if told.get(split)), {})


def _labels(card: Card) -> str:
    rows = [n for label, n in _first(card, "labels").items() if label and n]
    if not rows:
        return "–"
    return f"{len(rows)}: {percent(min(rows), sum(rows))} – {percent(max(rows), sum(rows))}"


def _lengths(card: Card) -> str:
    told = [f"{name} {_n(m['chars']['p50'])} / {_n(m['chars']['p95'])}" for name, m in _first(card, "lengths").items()]
    return ", ".join(told) or "–"
