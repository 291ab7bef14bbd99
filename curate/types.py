"""What passes between the rooms of `curate`, and the one kind of error a user sees."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from jingtiao.errors import UserError as UserError

if TYPE_CHECKING:
    import polars as pl

    from curate.text.decode import FileInfo

#: The splits a run may have, from the least protected to the most.
SPLITS: tuple[str, ...] = ("train", "validation", "test")
#: A rid is `file number << RID_BITS | row in file`.
RID_BITS = 40


@dataclass(frozen=True)
class File:
    """One file of one split. `partner`: the target side of a parallel pair (and its info, where it was looked at);
    `member`: a split inside a JSON object.

    `reader` is the one to read it where that is not for the recipe to say.
    """

    path: Path
    name: str
    split: str
    number: int
    partner: Path | None = None
    member: str | None = None
    prefix: str = ""
    reader: str | None = None
    partner_info: FileInfo | None = None


@dataclass(frozen=True)
class ReadReject:
    """A row that could not be read: its rid, why, the raw text (at most 2,000 characters) and its line in the file."""

    rid: int
    reason: str
    raw: str
    line: int


@dataclass
class Records:
    """One block of a file: the task's fields, the unreadable rows, and counts of what was repaired."""

    frame: pl.DataFrame
    rejects: list[ReadReject] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    rows: int = 0
