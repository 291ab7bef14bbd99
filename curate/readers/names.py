"""The names that corpora give their columns, and which of a file's columns is therefore which field."""

from __future__ import annotations

import re
from typing import Any

from curate.readers.options import ReadOptions
from curate.types import UserError

#: Share of a column's cells that must be labels of the recipe for it to be the label column.
LABEL_SHARE = 0.95
_WHOLE = re.compile(r"([-+]?\d+)\.0+")


def _names(text: str) -> list[str]:
    return text.split()


_FIRST = _names(
    "a text_a texta text1 text_1 sentence1 sentence_1 sentence_a sentencea sent1 sent_1 "
    "question1 question_1 question_a q1 query1 query_1 s1 seq1 premise "
    "句子1 句子一 句子a 文本1 文本一 文本a 问题1 问题一 问句1 问句一 query"
)
_SECOND = _names(
    "b text_b textb text2 text_2 sentence2 sentence_2 sentence_b sentenceb sent2 sent_2 "
    "question2 question_2 question_b q2 query2 query_2 s2 seq2 hypothesis "
    "句子2 句子二 句子b 文本2 文本二 文本b 问题2 问题二 问句2 问句二 title candidate"
)
_TEXT = _names(
    "text text_a texta review sentence content comment raw_text 评论 文本 内容 句子 正文 评价 "
    "sentence1 text1 query utterance title 标题"
)
_LABEL = _names(
    "label labels gold_label label_id is_duplicate isduplicate polarity sentiment target_label score "
    "class category stance 标签 类别 情感 分类 极性 是否相同"
)
#: Aliases of each field, the surer ones first: where two columns fit one field, the first alias in this list wins.
ALIASES = {
    "pair": {"a": _FIRST, "b": _SECOND, "label": _LABEL},
    "classification": {"text": _TEXT, "label": _LABEL},
    "mrc": {
        "question": _names("question query query_text q 问题 提问 问句"),
        "answers": _names("answers answer answer_text answer_texts gold_answers a 答案 回答 参考答案"),
        "context": _names(
            "context context_text passage article paragraph document text content 上下文 篇章 文章 段落 材料 原文 正文"
        ),
        "answer_starts": _names("answer_starts answer_start starts start 答案位置 起始位置"),
        "title": _names("title 标题 篇名 题目"),
        "source_id": _names("id qid query_id question_id guid 编号 序号"),
    },
    "summarization": {
        "text": _names(
            "text article content document doc source short_text body src news 正文 文章 原文 内容 新闻 文本"
        ),
        "summary": _names("summary abstract highlights summaries headline title target tgt 摘要 总结 概要 概括 标题"),
        "score": _names("score human_label 评分 分数"),
    },
    "dialogue": {
        "turns": _names(
            "turns dialog dialogue dialogs dialogues conversation conversations messages utterances 对话 会话 聊天记录"
        )
    },
}
#: The fields without which rows are no rows of the task.
NEEDED = {
    "pair": ["a", "b"],
    "classification": ["text"],
    "mrc": ["question"],
    "summarization": ["text"],
    "dialogue": ["turns"],
}
#: Of the fields that only some corpora have, those a table can hold.
EXTRA_ALIASES = {"target": ["target", "topic", "目标", "话题", "对象"]}
#: And those that need rows of names and values.
NESTED_ALIASES = {"intent": ["intent", "意图"], "slots": ["slots", "slot", "槽位"]}
IDS = frozenset(
    ["id", "qid", "guid", "idx", "index", "no", "uid", "pid", "pair_id", "sid", "编号", "序号", "unnamed:_0"]
)


def plain(name: str) -> str:
    """A column's name as the alias lists have it."""
    return re.sub(r"[\s\-]+", "_", name.strip().strip("\"'#\ufeff").strip().casefold())


def label_lookup(cells: list[str], labels: dict[str, str]) -> dict[str, str]:
    """Cell -> label key for those cells that are a key of the recipe, its word, or `1.0` for `1`."""
    if not labels:
        return {cell: cell.strip() for cell in cells if cell and cell.strip()}
    known = {word.casefold(): key for key, word in labels.items()} | {key.casefold(): key for key in labels}
    known |= {word: key for key, word in labels.items()} | {key: key for key in labels}
    found = {}
    for cell in cells:
        value = (cell or "").strip()
        whole = _WHOLE.fullmatch(value)
        key = known.get(value, known.get(value.casefold(), known.get(whole[1]) if whole else None))
        if key is not None:
            found[cell] = key
    return found


def is_label(cells: list[str], labels: dict[str, str]) -> bool:
    """Whether nearly all cells that hold anything are labels of the recipe, and there are some."""
    told = [cell for cell in cells if cell.strip()]
    hits = label_lookup(told, labels)
    return bool(told) and sum(cell in hits for cell in told) >= LABEL_SHARE * len(told)


def match_names(names: list[str], aliases: dict[str, list[str]], given: dict[str, int]) -> dict[str, int]:
    """Field -> column: those `given`, and those known by their `plain` names."""
    fields = dict(given)
    for field, words in aliases.items():
        if field not in fields:
            free = (names.index(word) for word in words if word in names)
            found = next((column for column in free if column not in fields.values()), None)
            fields |= {} if found is None else {field: found}
    return fields


def chosen_columns(name: str, names: list[str], columns: dict[str, str]) -> dict[str, int]:
    """Field -> column for `source.columns`; UserError where there is no such column."""
    plain_names = [plain(one) for one in names]
    found = {}
    for field, column in columns.items():
        if column in names:
            found[field] = names.index(column)
        elif plain(column) in plain_names:
            found[field] = plain_names.index(plain(column))
        else:
            raise UserError(
                f"{name}: has no column {column!r}, which source.columns names for {field}; its columns are "
                f"{_listed(names)}"
            )
    return found


def find_fields(name: str, names: list[str], rows: list[dict[str, Any]], options: ReadOptions) -> dict[str, str]:
    """Field -> name of its column, of rows whose columns have names; UserError, showing them, where one isn't found.

    `rows` are the first ones: where no name says "label", the only column of labels is it.
    """
    extra = {field: {**EXTRA_ALIASES, **NESTED_ALIASES}[field] for field in options.extra}
    aliases = {**extra, **ALIASES[options.task]}
    columns = options.columns if isinstance(options.columns, dict) else {}
    found = match_names([plain(one) for one in names], aliases, chosen_columns(name, names, columns))
    fields = {field: names[column] for field, column in found.items()}
    missing = [field for field in (*NEEDED[options.task], *options.extra) if field not in fields]
    if options.task == "mrc" and not missing and not {"context", "answers"} & set(fields):
        missing = ["context"]
    if missing:
        alpaca = {"instruction", "output"} <= set(names)
        hint = " (instructions and outputs are no corpus, but instruction data already)" if alpaca else ""
        told = ", ".join(f"{field}: COLUMN" for field in missing)
        raise UserError(
            f"{name}: no column is known as {' or '.join(missing)} of task {options.task}; its columns are "
            f"{_listed(names)}{hint}; say which it is, e.g. --set 'source.columns={{{told}}}'"
        )
    if "label" in aliases and "label" not in fields and options.labels:
        free = [one for one in names if one not in fields.values() and plain(one) not in IDS]
        fields |= _only_label(name, free, rows, options.labels)
    twice = [column for column in fields.values() if names.count(column) > 1]
    if twice:
        raise UserError(f"{name}: has two columns called {twice[0]!r}: rename one")
    return fields


def _only_label(name: str, free: list[str], rows: list[dict[str, Any]], labels: dict[str, str]) -> dict[str, str]:
    found = []
    for column in free:
        values = [row.get(column) for row in rows]
        cells = ["" if value is None else str(int(value) if isinstance(value, bool) else value) for value in values]
        found += [column] if is_label(cells, labels) else []
    if len(found) > 1:
        raise UserError(
            f"{name}: columns {' and '.join(found)} could both be the label; say which, e.g. --set "
            f"'source.columns={{label: {found[0]}}}'"
        )
    return {"label": found[0]} if found else {}


def _listed(names: list[str]) -> str:
    shown = ", ".join(one if len(one) <= 40 else one[:40] + "…" for one in names[:20] if one.strip())
    return f"{shown or 'none'}{' …' if len(names) > 20 else ''}"
