"""CMRC 2018's own layout: a list of contexts (`context_text`) with questions (`query_text`) and bare answers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from curate.readers.options import ReadOptions
from curate.readers.squad import Keys, read_tree
from curate.text.decode import FileInfo
from curate.types import File, Records

_START = re.compile(r"\s*[\[{]")
# Offsets are not part of this layout: `locate_answer` finds the answers.
_OWN = Keys(
    context=("context_text", "context"), question=("query_text", "question"), id=("query_id", "id"), starts=False
)


def fits(head: str) -> bool:
    """JSON that speaks of `context_text` or `query_text`."""
    return bool(_START.match(head)) and ('"context_text"' in head or '"query_text"' in head)


def read(file: File, info: FileInfo, options: ReadOptions, block_rows: int) -> Iterator[Records]:
    """The questions of a CMRC file in its own layout; every answer's start is unknown (-1)."""
    yield from read_tree(file, info, options, block_rows, _OWN)
