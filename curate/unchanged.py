"""Bytes of a file that must stay as they were when it was looked at, and one clear error where they did not.

A file is hashed when it is sniffed and read again later; what is read must be what the manifest tells of. Any change
to a file moves its time of change (`ctime`), which no program can set back, and a file put in another's place has
another number. So a block is handed on only if both are as they were after it was read: what is parsed was hashed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from curate.types import UserError

#: Bytes hashed at a time.
_HASHED = 1 << 20


class Changed(UserError):
    """A file is no longer what it was when it was looked at."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name}: changed while it was read: wait until nothing writes to it, and start again")


@dataclass(frozen=True)
class Stamp:
    """What tells a file's state without reading it, and the name by which errors call the file."""

    name: str
    #: Device, inode, size in bytes, times of modification and of change in nanoseconds.
    state: tuple[int, ...]

    @classmethod
    def of(cls, name: str, path: Path) -> Stamp:
        """The stamp of a file as it is now."""
        return cls(name, _state(path))

    @property
    def bytes(self) -> int:
        """The file's size."""
        return self.state[2]

    def check(self, file: Path | int) -> None:
        """Raises Changed unless the file (a path, or an open one's descriptor) is as it was."""
        try:
            same = _state(file) == self.state
        except FileNotFoundError:
            same = False
        if not same:
            raise Changed(self.name)


def _state(file: Path | int) -> tuple[int, ...]:
    said = os.stat(file)  # noqa: PTH116 — a Path's own takes no descriptor
    return said.st_dev, said.st_ino, said.st_size, said.st_mtime_ns, said.st_ctime_ns


def blocks(path: Path, stamp: Stamp | None, size: int) -> Iterator[bytes]:
    """The file's bytes, at most `size` at a time. Raises Changed where they are not those of `stamp`."""
    count = 0
    with readable(path, stamp), path.open("rb") as file:
        while data := file.read(size):
            count += len(data)
            if stamp is not None:
                stamp.check(file.fileno())
            yield data
    # What was read is checked; that nothing is missing, its size tells.
    if stamp is not None and count != stamp.bytes:
        raise Changed(stamp.name)


def sha256_of(path: Path, stamp: Stamp) -> str:
    """The hash of a file that nobody parses. Raises Changed as `blocks` does."""
    digest = hashlib.sha256()
    for data in blocks(path, stamp, _HASHED):
        digest.update(data)
    return digest.hexdigest()


@contextmanager
def readable(path: Path, stamp: Stamp | None) -> Generator[None, None, None]:
    """Says in one line which file can't be opened or read, and why; one that has changed since, so."""
    try:
        yield
    except OSError as error:
        if stamp is not None:
            stamp.check(path)
        name = path.name if stamp is None else stamp.name
        raise UserError(f"{name}: cannot be read: {error.strerror or error}") from error
