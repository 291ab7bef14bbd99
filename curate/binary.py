"""Files that are no text and hold rows all the same: Parquet files and Excel workbooks, known by their content."""

from __future__ import annotations

import zipfile
from pathlib import Path

from curate.text.decode import FileInfo
from curate.unchanged import Stamp, sha256_of

#: Kind -> what errors call it.
KINDS = {"parquet": "a Parquet file", "xlsx": "an Excel workbook"}
#: The mark, and the first byte of what follows in all of them: a text may begin with the mark.
_PARQUET = b"PAR1\x15"


def binary_kind(path: Path) -> str | None:
    """`parquet`, `xlsx` (a zip archive with a workbook inside), or None; None too for what can't be read."""
    try:
        with path.open("rb") as file:
            head = file.read(len(_PARQUET))
        if head == _PARQUET:
            return "parquet"
        if head.startswith(b"PK\x03\x04"):
            with zipfile.ZipFile(path) as archive:
                return "xlsx" if "xl/workbook.xml" in archive.namelist() else None
    except (OSError, zipfile.BadZipFile, ValueError):
        pass
    return None


def binary_info(path: Path, name: str, kind: str) -> FileInfo:
    """Size and sha256 of such a file, which errors call `name`."""
    stamp = Stamp.of(name, path)
    sha256 = sha256_of(path, stamp)
    return FileInfo(stamp.bytes, sha256, kind, nul=0, undecodable=0, newline="\n", binary=True, stamp=stamp)
