"""Where slices wait between the passes: in memory while they are few, in files of the work folder when they are many.

A slice on disk is whole or not there (written aside, then renamed) and carries its own hash, so that a process which
takes over from one that was killed can tell what it may go on from.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from curate.lazy import pl

#: Bytes of frames kept in memory before the next ones go to disk.
MEMORY = 256 * 1024 * 1024

_DIGEST = hashlib.sha256().digest_size
Frames = dict[str, "pl.DataFrame"]


@dataclass
class Kept:
    """A slice on disk: its facts, if it was left there, and where each of its frames begins and ends."""

    path: Path
    facts: Any
    spans: dict[str, tuple[int, int]]

    def read(self, name: str) -> pl.DataFrame:
        start, end = self.spans[name]
        with self.path.open("rb") as file:
            file.seek(start)
            # Its bytes, not its path: the file must not stay mapped.
            return pl.read_ipc(file.read(end - start))


class Store:
    """An append-only list of slices, each a few frames by name; `folder` is a private working folder.

    A slice may have facts of its own (what JSON can hold, in dataclasses too), which `restore` gives back to the
    process that takes over.
    """

    def __init__(self, folder: Path, memory: int = MEMORY) -> None:
        self._folder = folder
        self._memory = memory
        self._held = 0
        self._items: list[Frames | Kept] = []
        self._dropped: list[str] = []

    def append(self, frames: Frames, facts: Any = None, extra: Frames | None = None) -> int:
        """Add a slice; returns its index. `extra` are frames that only a process which takes over will want."""
        size = sum(frame.estimated_size() for frame in frames.values())
        if self._held + size <= self._memory:
            self._held += size
            self._items.append(frames)
        else:
            self._items.append(_write(self._path(len(self._items)), facts, frames | (extra or {})))
        return len(self._items) - 1

    def restore(self, index: int) -> Kept | None:
        """A slice that was left on disk, for `adopt`; None where there is none that is whole."""
        return _open(self._path(index))

    def adopt(self, file: Kept) -> None:
        """Add a slice that was left on disk."""
        self._items.append(file)

    def end(self, facts: Any) -> None:
        """No slice comes any more; where all of them are on disk, these facts go there too, for `ended`."""
        if self._items and all(isinstance(item, Kept) for item in self._items):
            told = json.dumps({"slices": len(self._items), "facts": facts})
            aside = self._folder / "end.part"
            aside.write_text(told, encoding="utf-8")
            aside.replace(self._folder / "end")

    def ended(self) -> tuple[int, Any] | None:
        """How many slices a killed process left, with its facts; None where it had not yet made all of them."""
        try:
            told = json.loads((self._folder / "end").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return told["slices"], told["facts"]

    def peek(self, index: int, name: str = "rows") -> pl.DataFrame:
        """A frame of a slice, which stays in the store."""
        item = self._items[index]
        return item.read(name) if isinstance(item, Kept) else item[name]

    def drop(self, columns: list[str]) -> None:
        """Let go of some columns of all slices' rows; those on disk keep theirs until they are taken."""
        for item in self._items:
            if not isinstance(item, Kept):
                item["rows"] = item["rows"].drop(columns, strict=False)
        self._dropped += columns

    def take(self, index: int, *names: str) -> list[pl.DataFrame]:
        """Frames of a slice, of which the store then lets go: each is taken once. What is on disk stays there."""
        frames = [self.peek(index, name) for name in names]
        item = self._items[index]
        if not isinstance(item, Kept):
            self._held -= sum(frame.estimated_size() for frame in item.values())
        self._items[index] = {}
        return [frame.drop(self._dropped, strict=False) for frame in frames]

    def _path(self, index: int) -> Path:
        return self._folder / f"{index:06d}.slice"


def _write(path: Path, facts: Any, frames: Frames) -> Kept:
    """A line of JSON, the frames as Arrow files one after the other, and the hash of all that."""
    bodies: list[BytesIO] = []
    for frame in frames.values():
        frame.write_ipc(body := BytesIO())
        bodies.append(body)
    sizes = {name: body.tell() for name, body in zip(frames, bodies, strict=True)}
    head = json.dumps({"sizes": sizes, "facts": facts}, ensure_ascii=False, default=vars).encode() + b"\n"
    parts = [head, *(body.getbuffer() for body in bodies)]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    path.parent.mkdir(exist_ok=True)
    aside = path.with_suffix(".part")
    with aside.open("wb") as file:  # polars' own errors of a full disk have no errno
        for part in (*parts, digest.digest()):
            file.write(part)
    aside.replace(path)
    return Kept(path, None, _spans(len(head), sizes))


def _open(path: Path) -> Kept | None:
    try:
        with path.open("rb") as file:
            size = path.stat().st_size - _DIGEST
            head = file.readline()
            digest = hashlib.sha256(head)
            while (left := size - file.tell()) > 0 and (data := file.read(min(left, 1 << 20))):
                digest.update(data)
            if digest.digest() != file.read():
                return None
    except OSError:
        return None
    told = json.loads(head)
    return Kept(path, told["facts"], _spans(len(head), told["sizes"]))


def _spans(start: int, sizes: dict[str, int]) -> dict[str, tuple[int, int]]:
    spans = {}
    for name, size in sizes.items():
        spans[name] = (start, start + size)
        start += size
    return spans
