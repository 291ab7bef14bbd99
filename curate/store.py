"""Where slices wait between the passes: in memory while they are few, in Arrow files of our own when they are many."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from curate.lazy import pl

#: Bytes of frames kept in memory before the next ones go to disk.
MEMORY = 256 * 1024 * 1024


class Store:
    """An append-only list of frames; `folder` is a private working folder."""

    def __init__(self, folder: Path, memory: int = MEMORY) -> None:
        self._folder = folder
        self._memory = memory
        self._held = 0
        self._items: list[pl.DataFrame | Path] = []
        self._dropped: list[str] = []

    def append(self, frame: pl.DataFrame) -> None:
        size = frame.estimated_size()
        if self._held + size <= self._memory:
            self._held += size
            self._items.append(frame)
            return
        path = self._folder / f"slice-{len(self._items):06d}.arrow"
        buffer = BytesIO()
        frame.write_ipc(buffer)
        path.write_bytes(buffer.getbuffer())  # polars' own errors of a full disk have no errno
        self._items.append(path)

    def peek(self, index: int) -> pl.DataFrame:
        """The frame, which stays in the store."""
        item = self._items[index]
        # Its bytes, not its path: the file must not stay mapped.
        return pl.read_ipc(item.read_bytes()) if isinstance(item, Path) else item

    def drop(self, columns: list[str]) -> None:
        """Let go of some columns of all frames; those on disk keep theirs until they are taken."""
        self._items = [item if isinstance(item, Path) else item.drop(columns, strict=False) for item in self._items]
        self._dropped += columns

    def take(self, index: int) -> pl.DataFrame:
        """The frame, which the store then lets go of: each slice is read once."""
        item, frame = self._items[index], self.peek(index)
        self._items[index] = pl.DataFrame()
        if isinstance(item, Path):
            item.unlink()
        return frame.drop(self._dropped, strict=False)
