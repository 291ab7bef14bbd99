"""Dialogues: a JSON list, a JSON object of splits, JSON Lines, or TSV with an utterance a column.

JSON is read incrementally, and text with a space between all characters is joined (LCCC is published so).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from curate.naming import split_of
from curate.readers.jsonstream import JsonStream
from curate.readers.options import Problem, ReadOptions, collect
from curate.text.decode import FileInfo, read_blocks, read_lines
from curate.text.spaced import SAMPLE, is_spaced, join_all
from curate.types import File, Records, UserError

#: Where an object keeps its utterances.
TURN_KEYS = ("dialog", "dialogue", "conversation", "turns", "utterances")
#: What the layouts have in common: utterances or a problem, row by row.
_Rows = Iterator[list[str] | Problem]


def fits(head: str) -> bool:
    """JSON that begins like a dialogue file, or lines with tabs that are neither JSON nor pseudo-XML."""
    start = head.lstrip()
    if re.match(r'\[\s*(\[|"|\]|$)', start):
        return True
    keys = "|".join(TURN_KEYS)
    if start.startswith(("{", "[")) and re.match(r'\[?\s*\{\s*("|\}|$)', start):
        # An object with a turn key anywhere near, or lists of lists under some key.
        turns = re.search(rf'"({keys})"\s*:\s*\[', start)
        lists = re.search(r'"\s*:\s*\[\s*\[', start) or re.match(r'\{\s*"[^"]*"\s*:\s*\[\s*\]', start)
        return bool(turns or lists)
    lines = [line for line in start.split("\n")[:50] if line.strip()]
    return bool(lines) and not start.startswith(("<doc", "<?xml")) and 2 * sum("\t" in x for x in lines) >= len(lines)


def read(file: File, info: FileInfo, options: ReadOptions, block_rows: int) -> Iterator[Records]:
    """The dialogues of a file in any of the layouts; `file.member` names the split of an object of splits."""
    counts: Counter[str] = Counter()
    layout = _layout(file.path, info)
    if layout == "lines":
        rows = _lines(file.path, info, counts)
    elif layout == "tsv":
        rows = _tsv(file.path, info, counts)
    else:
        rows = map(_turns, _items(JsonStream(file.name, read_blocks(file.path, info)), file.member))
    yield from collect(file, options, block_rows, joined(rows, counts), counts)


def split_members(path: Path, info: FileInfo) -> list[str]:
    """The splits of a JSON object of splits in file order; [] for any other file.

    An object of lists is one of splits when one of its keys is a split's name.
    """
    if _layout(path, info) != "stream":
        return []
    stream = JsonStream(path.name, read_blocks(path, info))
    if stream.peek() != "{":
        return []
    members = _members(stream)
    return members if any(map(split_of, members)) else []


def _members(stream: JsonStream) -> list[str]:
    """The keys of an object whose values are lists."""
    members = []
    for key in stream.members():
        if stream.peek() == "[":
            for _ in stream.items():  # read through, not kept
                pass
            members.append(key)
        else:
            stream.value()
    return members


def _layout(path: Path, info: FileInfo) -> str:
    """`stream` (one JSON value), `lines` (a JSON value a line) or `tsv`."""
    blocks = read_blocks(path, info)
    start = next((text for block in blocks if (text := block.lstrip())), "")
    if not re.match(r'[\[{]\s*(["{\[\]}]|$)', start) and not re.match(r"\[\s*-?\d", start):
        return "tsv"
    first, newline, rest = start.partition("\n")
    if not rest.strip():
        rest = next((block for block in blocks if block.strip()), "")
    if rest and not newline:
        return "stream"  # one line longer than a block: it is not taken into memory to see what it is
    try:
        value = json.loads(first)
    except (ValueError, RecursionError):
        # A value over several lines, or one cut short, whose position the stream finds; or a broken first line.
        broken = first.rstrip()[-1] not in "[{,:" and _is_value(rest.lstrip().partition("\n")[0])
        return "lines" if broken else "stream"
    if rest.strip():
        return "lines"
    if isinstance(value, dict):
        return "lines" if _of_object(value) is not None else "stream"
    # A single line: one dialogue, or a list of them?
    return "lines" if value and all(isinstance(item, str) for item in value) else "stream"


def _is_value(line: str) -> bool:
    try:
        return isinstance(json.loads(line), (list, dict))
    except (ValueError, RecursionError):
        return False


def _items(stream: JsonStream, member: str | None) -> Iterator[Any]:
    """The items of the list, or of the wanted list of an object."""
    if stream.peek() == "[":
        yield from stream.items()
        if stream.peek():
            stream.fail("text after the end of the list")
        return
    seen = []
    for key in stream.members():
        if stream.peek() != "[":
            stream.value()
            continue
        seen.append(key)
        if member is None and len(seen) > 1:
            stream.fail(f"an object of several lists ({', '.join(seen)}, …), of which one must be named by its split")
        wanted = member is None or key == member
        for item in stream.items():
            if wanted:
                yield item
        if wanted and member is not None:
            return
    if member is not None or not seen:
        raise UserError(f"{stream.name}: has no list {member or 'of dialogues'}, only: {', '.join(seen) or 'none'}")


def _lines(path: Path, info: FileInfo, counts: Counter[str]) -> _Rows:
    decode = json.JSONDecoder().decode
    for number, line in enumerate(chain.from_iterable(read_lines(path, info)), 1):
        if not line.strip():
            counts["blank_lines"] += 1
            continue
        try:
            item = decode(line)
        except (ValueError, RecursionError):
            yield Problem("bad_json", line, number)
            continue
        row = _turns(item)
        yield Problem(row.reason, line, number) if isinstance(row, Problem) else row


def _tsv(path: Path, info: FileInfo, counts: Counter[str]) -> _Rows:
    for number, line in enumerate(chain.from_iterable(read_lines(path, info)), 1):
        if not line.strip(" \t\r"):
            if "\t" in line:
                yield Problem("empty_dialogue", line, number)
            else:
                counts["blank_lines"] += 1
            continue
        turns = line.split("\t")
        while not turns[-1]:  # padding of shorter dialogues
            turns.pop()
        yield turns


def _turns(item: Any) -> list[str] | Problem:
    """The utterances of one item, or why it is no dialogue."""
    turns = _of_object(item) if isinstance(item, dict) else item
    if not isinstance(turns, list) or not set(map(type, turns)) <= {str}:
        return Problem("not_a_dialogue", json.dumps(item, ensure_ascii=False))
    if not any(map(str.strip, turns)):
        return Problem("empty_dialogue", json.dumps(item, ensure_ascii=False))
    return turns


def _of_object(item: dict[str, Any]) -> list[Any] | None:
    """The list under the first of the known keys, unless it is a list of lists (then it is no single dialogue)."""
    for key in TURN_KEYS:
        value = item.get(key)
        if isinstance(value, list) and not any(isinstance(turn, list) for turn in value):
            return value
    return None


def joined(rows: _Rows, counts: Counter[str]) -> Iterator[tuple[list[str]] | Problem]:
    """The rows with the spaces between characters taken out, if the file's first texts have them."""
    head: list[list[str] | Problem] = []
    texts: list[str] = []
    while len(texts) < SAMPLE and (some := list(islice(rows, 200))):
        head.extend(some)
        texts.extend(turn for row in some if not isinstance(row, Problem) for turn in row)
    spaced = is_spaced(texts[:SAMPLE])
    for row in chain(head, rows):
        if isinstance(row, Problem):
            yield row
        else:
            yield (join_all(row, counts) if spaced else row,)
