"""Readers: one layout a file, each `fits(head)` and `read(file, info, options, block_rows)`.

A new layout is one file here and one line in `_READERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from curate.binary import KINDS
from curate.readers import blocks, cmrc, dialogue, file_label, folders, lcsts, nlu, parallel, rows, squad, table
from curate.readers.bounds import bounded
from curate.readers.options import ReadOptions
from curate.text.decode import FileInfo
from curate.types import File, Records

__all__ = ["READERS", "ReadOptions", "Reader"]


@dataclass(frozen=True)
class Reader:
    """`fits`: is the head (first ~64 KiB of text) in this layout?  `read`: the records, block by block.

    `binary` are the kinds of files it reads that are no text (`curate.binary.KINDS`). With `any_text` every head fits.
    """

    fits: Callable[[str], bool]
    read: Callable[[File, FileInfo, ReadOptions, int], Iterator[Records]]
    binary: tuple[str, ...] = ()
    any_text: bool = False


_READERS: dict[str, Reader] = {
    "table": Reader(table.fits, table.read),
    "squad": Reader(squad.fits, squad.read),
    "cmrc": Reader(cmrc.fits, cmrc.read),
    "lcsts": Reader(lcsts.fits, lcsts.read),
    "parallel": Reader(parallel.fits, parallel.read),
    "blocks": Reader(blocks.fits, blocks.read),
    "dialogue": Reader(dialogue.fits, dialogue.read),
    "folders": Reader(folders.fits, folders.read, any_text=True),
    "nlu": Reader(nlu.fits, nlu.read),
    "file_label": Reader(file_label.fits, file_label.read),
    "rows": Reader(rows.fits, rows.read, tuple(KINDS)),
}
READERS = {name: replace(reader, read=bounded(reader.read)) for name, reader in _READERS.items()}
