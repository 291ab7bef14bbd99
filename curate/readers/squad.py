"""SQuAD JSON: articles > paragraphs > questions with answers, as CMRC 2018 and DRCD are published.

Also what people do to it: a top-level list of articles, articles without `paragraphs`, answers as bare strings.
A record is a question; `cmrc.py` reads the same tree under other names.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from curate.readers.jsonstream import what_is_wrong
from curate.readers.options import Problem, ReadOptions, collect
from curate.text.decode import FileInfo, read_text
from curate.types import File, Records, UserError

_START = re.compile(r"\s*[\[{]")
_KEYS = re.compile(r'"(data|paragraphs|qas|context)"\s*:')
#: Test sets are published with answers that only look like some.
_PLACEHOLDER = re.compile(r"FAKE_ANSWER")


@dataclass(frozen=True)
class Keys:
    """What the parts are called; the first name that is there counts."""

    context: tuple[str, ...] = ("context",)
    question: tuple[str, ...] = ("question",)
    id: tuple[str, ...] = ("id",)
    starts: bool = True


def fits(head: str) -> bool:
    """JSON with the keys of SQuAD, and not those of CMRC's own layout."""
    own = '"context_text"' in head or '"query_text"' in head
    return bool(_START.match(head) and _KEYS.search(head)) and not own


def read(file: File, info: FileInfo, options: ReadOptions, block_rows: int) -> Iterator[Records]:
    """The questions of a SQuAD file."""
    yield from read_tree(file, info, options, block_rows, Keys())


def read_tree(file: File, info: FileInfo, options: ReadOptions, block_rows: int, keys: Keys) -> Iterator[Records]:
    """The questions of a tree of articles, paragraphs and questions; `row in file` counts questions."""
    tree = _load(file, info)
    if isinstance(tree, dict):
        tree = tree.get("data", [tree])
    if not isinstance(tree, list):
        raise UserError(f"{file.name}:1:1: the data is {_kind(tree)}, not a list of articles: is it the right file?")
    counts: Counter[str] = Counter()
    yield from collect(file, options, block_rows, _questions(tree, keys, counts), counts)


def _load(file: File, info: FileInfo) -> Any:
    try:
        return json.loads(read_text(file.path, info))
    except json.JSONDecodeError as error:
        where = f"{file.name}:{error.lineno}:{error.colno}"
        raise UserError(f"{where}: is not valid JSON ({error.msg}): the file may be cut short, get it again") from None
    except (RecursionError, ValueError) as error:
        raise UserError(f"{file.name}: is not usable JSON: {what_is_wrong(error)}") from None


def _questions(articles: list[Any], keys: Keys, counts: Counter[str]) -> Iterator[tuple[Any, ...] | Problem]:
    for article in articles:
        if not isinstance(article, dict):
            yield _problem("not_an_article", article)
            continue
        title = _text(article.get("title"))
        paragraphs = article.get("paragraphs", [article])
        if not isinstance(paragraphs, list):
            yield _problem("bad_paragraphs", article)
            continue
        for paragraph in paragraphs:
            yield from _paragraph(paragraph, title or "", keys, counts)


def _paragraph(paragraph: Any, title: str, keys: Keys, counts: Counter[str]) -> Iterator[tuple[Any, ...] | Problem]:
    if not isinstance(paragraph, dict):
        yield _problem("not_a_paragraph", paragraph)
        return
    questions = paragraph.get("qas", paragraph.get("questions"))
    if not isinstance(questions, list):
        yield _problem("no_questions" if questions is None else "bad_questions", paragraph)
        return
    context = _get(paragraph, keys.context)
    for question in questions:
        if not isinstance(question, dict):
            yield _problem("bad_question", question)
        elif context is None:
            yield _problem("no_context", question)
        elif not isinstance(context, str):
            yield _problem("bad_context", question)
        else:
            yield _question(question, title, context, keys, counts)


def _question(
    item: dict[str, Any], title: str, context: str, keys: Keys, counts: Counter[str]
) -> tuple[Any, ...] | Problem:
    asked = _get(item, keys.question)
    question = _text(asked)
    if question is None:
        return _problem("no_question" if asked is None else "bad_question", item)
    answers = item.get("answers", item.get("answer"))
    if answers is None:
        counts["no_answers_key"] += 1
        answers = []
    pairs = real_answers(answers, keys.starts, counts)
    if isinstance(pairs, str):
        return _problem(pairs, item)
    if not pairs:
        counts["unlabelled"] += 1
    return (
        title,
        context,
        question,
        [text for text, _ in pairs],
        [start for _, start in pairs],
        _text(_get(item, keys.id)) or "",
    )


def real_answers(answers: Any, starts: bool, counts: Counter[str]) -> list[tuple[str, int]] | str:
    """(text, start) of each real answer, or the reason why they can't be read."""
    found: list[tuple[str, int]] = []
    # Counted once the question is known to be readable: a reject is counted as a reject.
    seen: Counter[str] = Counter()
    for answer in answers if isinstance(answers, list) else [answers]:
        value, start = answer, -1
        if isinstance(answer, dict):
            value = answer.get("text")
            where = _start(answer.get("answer_start"))
            if where is None:
                return "bad_answer_start"
            start = where
        text = _text(value)
        if text is None:
            return "bad_answer"
        seen["numeric_answers"] += not isinstance(value, str)
        if _PLACEHOLDER.match(text) or (start == -1 and text.startswith("FAKE_")):
            seen["placeholder_answers"] += 1
        elif not text:
            seen["empty_answers"] += 1
        else:
            found.append((text, start if starts else -1))
    counts.update({name: count for name, count in seen.items() if count})
    return found


def _start(value: Any) -> int | None:
    """The offset; -1 (unknown) where it is absent or negative; None where it is no number."""
    if value is None:
        return -1
    if isinstance(value, str) and re.fullmatch(r"\s*-?\d{1,12}\s*", value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value > 1 << 40:
        return None
    return max(value, -1)


def _text(value: Any) -> str | None:
    """A string, or a number written as one; None for everything else."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _get(item: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((item[name] for name in names if name in item), None)


def _problem(reason: str, item: Any) -> Problem:
    return Problem(reason, json.dumps(item, ensure_ascii=False))


def _kind(value: Any) -> str:
    return "null" if value is None else f"a {type(value).__name__}"
