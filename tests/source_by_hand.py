"""Sources in layouts as simple as the built-in samples', read and cleaned in plain Python, a character at a time."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curate.steps.strip_markup import RULES

Row = dict[str, Any]

# ---- reading


def table(
    path: Path, columns: tuple[str, ...], labels: tuple[str, ...], repaired: Counter[str]
) -> Iterator[Row | None]:
    """Rows of a TSV; the header, where there is one, says which column is which."""
    lines = [line.rstrip("\r") for line in path.read_text(encoding="utf-8-sig").split("\n")]
    names = {"label": "label", "text_a": columns[0], "text_b": "b", "text": columns[0], "qid": "qid"}
    head = lines[0].split("\t")
    titled = head[-1] in names
    order = [names[title] for title in head] if titled else [*columns, "label"]
    repaired["header"] += titled
    for line in filter(str.strip, lines[titled:]):
        cells = line.split("\t")
        row = {"label": None, **dict(zip(order, cells, strict=False))}
        row.pop("qid", None)
        fits = len(cells) == len(order) and row["label"] in (None, *labels)
        repaired["unlabelled"] += fits and row["label"] is None
        yield row if fits else None


def squad(path: Path, repaired: Counter[str]) -> Iterator[Row | None]:
    """Questions of JSON in SQuAD's layout, or in CMRC's flat one."""
    told = json.loads(path.read_text(encoding="utf-8"))
    for article in told["data"] if isinstance(told, dict) else told:
        for part in article.get("paragraphs", [article]):
            context = part.get("context", part.get("context_text"))
            for qa in part["qas"]:
                question = qa.get("question", qa.get("query_text"))
                given = [one if isinstance(one, dict) else {"text": one} for one in qa.get("answers", [])]
                repaired["no_answers_key"] += "answers" not in qa
                repaired["numeric_answers"] += sum(not isinstance(one["text"], str) for one in given)
                repaired["empty_answers"] += sum(one["text"] == "" for one in given)
                true = [one for one in given if not str(one["text"]).startswith("FAKE_ANSWER")]
                repaired["placeholder_answers"] += len(given) - len(true)
                true = [one for one in true if one["text"] != ""]
                repaired["unlabelled"] += not true
                row = {"title": article.get("title", ""), "context": context, "question": question}
                starts = [one.get("answer_start", -1) for one in true]
                yield {**row, "answers": [str(one["text"]) for one in true], "answer_starts": starts}


def lcsts(path: Path) -> Iterator[Row | None]:
    for doc in re.findall(r"<doc id=\d+>(.*?)</doc>", path.read_text(encoding="utf-8"), re.S):
        summary, text = (re.search(rf"<{tag}>\n?(.*?)\n?\s*</{tag}>", doc, re.S) for tag in ("summary", "short_text"))
        inside = [found[1].removeprefix("        ") if found else "" for found in (text, summary)]
        yield {"text": inside[0], "summary": inside[1]}


def dialogues(path: Path, repaired: Counter[str]) -> Iterator[Row | None]:
    """Turns whose characters stand apart, joined."""
    for turns in json.loads(path.read_text(encoding="utf-8")):
        turns = turns["turns"] if isinstance(turns, dict) else turns
        if not isinstance(turns, list) or not turns or not all(isinstance(turn, str) for turn in turns):
            yield None
            continue
        repaired["spaced_joined"] += sum(" " in turn for turn in turns)
        yield {"turns": [turn.replace(" ", "") for turn in turns]}


#: By the family of tasks: the file, the labels, and a counter of what was repaired.
READERS: dict[str, Any] = {
    "pair": lambda path, labels, repaired: table(path, ("a", "b"), labels, repaired),
    "classification": lambda path, labels, repaired: table(path, ("text",), labels, repaired),
    "mrc": lambda path, _, repaired: squad(path, repaired),
    "summarization": lambda path, *_: lcsts(path),
    "dialogue": lambda path, _, repaired: dialogues(path, repaired),
}

# ---- cleaning


def normalised(text: str, counts: Counter[str]) -> str:
    made = ""
    for char in text:
        wide = unicodedata.normalize("NFKC", char)
        if "\uff10" <= char <= "\uff5a" and wide.isalnum():
            counts["full_width"] += 1
            made += wide
        elif char == "\u3000":
            counts["ideographic_space"] += 1
            made += " "
        elif unicodedata.category(char) == "Cc" and char not in "\t\n":
            counts["control"] += 1
        elif unicodedata.category(char) == "Cf":
            counts["zero_width"] += 1
        else:
            made += char
    counts["edge_space"] += (made != made.lstrip()) + (made != made.rstrip() and made.strip() != "")
    return made.strip()


#: Two kinds of personal details, as simple as they are planted.
DETAILS = {"email": (r"[a-z]+@[a-z]+\.com", "[邮箱]"), "mobile": (r"1[3-9][0-9]{9}", "[手机号]")}


def masked(text: str, counts: Counter[str]) -> str:
    for kind, (pattern, mask) in DETAILS.items():
        text, times = re.subn(pattern, mask, text)
        counts[kind] += times
    return text


def stripped(text: str, kinds: list[str], counts: Counter[str]) -> str:
    before = None
    while text != before:
        before = text
        for kind in kinds:
            for name, pattern, other in RULES[kind]:
                counts[name] += len(pattern.findall(text))
                text = pattern.sub(other, text).strip() if pattern.search(text) else text
    return text


def located(row: Row, counts: Counter[str]) -> None:
    """How each answer's place came out."""
    for answer, start in zip(row["answers"], row["answer_starts"], strict=True):
        places = [k for k in range(len(row["context"])) if row["context"].startswith(answer, k)]
        if not places:
            counts["answers_not_found"] += 1
        elif start < 0:
            counts["offsets_added"] += 1
        else:
            counts["offsets_right" if start in places else "offsets_mended"] += 1


def over(row: Row, names: tuple[str, ...], change: Any) -> Row:
    told = {}
    for name in names:
        value = row.get(name)
        told[name] = [change(one) for one in value] if isinstance(value, list) else value and change(value)
    return {**row, **told}
