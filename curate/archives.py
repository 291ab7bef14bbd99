"""Archives: recognised by their content, unpacked under names of our own, never further than a bound.

A member's name is only ever shown and matched; the file it is written to is called by its number. Links, devices and
hidden files are left aside, and the bytes that really come out are counted, whatever the archive declares.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tarfile import HeaderError, ReadError, TarFile
from typing import IO, Any, Self

from curate.types import UserError

#: An archive may unpack to this much, or to this many times its own size if that is more.
UNPACKED_BYTES = 256 << 20
UNPACKED_RATIO = 100
#: More members than any corpus has: each costs an inode.
MEMBERS = 200_000
#: A tar header that goes on in a block of its own (a long name, say) is read at once: no honest one is this large.
_HEADER_BYTES = 1 << 20
_EXTENDED = frozenset(
    (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
)
#: xz may ask for any memory to unpack with; its own strongest setting takes 65 MiB.
_XZ_MEMORY = 256 << 20
_CHUNK = 1 << 20

#: What reading a damaged archive raises, by the modules that read it.
_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    NotImplementedError,
)
_SUFFIXES = {"gzip": (".gz", ".gzip"), "bzip2": (".bz2",), "xz": (".xz", ".lzma")}
_FOREIGN = {"rar": "rar", "7z": "7z", "zstd": "zstd"}


class _Xz:
    """The bytes of an xz file, unpacked in bounded memory, which `lzma.open` can't be told."""

    def __init__(self, path: Path, mode: str) -> None:
        self._path, self._file = path, path.open("rb")
        self._decoder = self._begin()

    @staticmethod
    def _begin() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(memlimit=_XZ_MEMORY)

    def read(self, size: int) -> bytes:
        data = b""
        while not data:
            packed = b""
            if self._decoder.eof:  # more streams may follow, and zeros that only fill up
                packed = (self._decoder.unused_data or self._file.read(_CHUNK)).lstrip(b"\0")
                if not packed:
                    return b""
                self._decoder = self._begin()
            elif self._decoder.needs_input and not (packed := self._file.read(_CHUNK)):
                raise EOFError
            try:
                data = self._decoder.decompress(packed, size)
            except lzma.LZMAError as error:
                if "limit" not in str(error):
                    raise
                raise UserError(
                    f"{self._path}: needs more than {_XZ_MEMORY >> 20} MiB of memory to be unpacked:"
                    " unpack it yourself and give the folder"
                ) from None
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


_OPENERS: dict[str, Any] = {"gzip": gzip.open, "bzip2": bz2.open, "xz": _Xz}


@dataclass(frozen=True)
class Member:
    """A file that came out of an archive: where it lies now, and the name it had there."""

    path: Path
    name: str


def archive_kind(path: Path) -> str | None:
    """`zip` `tar` `gzip` `bzip2` `xz` `rar` `7z` `zstd`, or None for any other file, judged by its first bytes."""
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    for magic, kind in (
        (b"PK\x03\x04", "zip"),
        (b"PK\x05\x06", "zip"),
        (b"\x1f\x8b", "gzip"),
        (b"\xfd7zXZ\0", "xz"),
        (b"Rar!\x1a\x07", "rar"),
        (b"7z\xbc\xaf\x27\x1c", "7z"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
    ):
        if head.startswith(magic):
            return kind
    # bzip2's own mark is three letters; the level and the first block's mark make it sure.
    if re.match(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)", head):
        return "bzip2"
    return "tar" if _is_tar(head) else None


def unpack(path: Path, kind: str, folder: Path) -> tuple[list[Member], list[str]]:
    """Unpack an archive into `folder` (made here); returns its files and the names of what was left aside."""
    if kind in _FOREIGN:
        raise UserError(
            f"{path}: is a {_FOREIGN[kind]} archive, which is not read here: unpack it and give the folder,"
            " or pack it again as .zip or .tar.gz"
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    budget = _Budget(path)
    if kind == "zip":
        return _unpack_zip(path, folder, budget)
    if kind == "tar" or _holds_tar(path, kind):
        return _unpack_tar(path, kind, folder, budget)
    target = folder / "000000"
    with _damage(path), _OPENERS[kind](path, "rb") as stream:
        _copy(stream, target, budget)
    return [Member(target, _without_suffix(path.name, kind))], []


def clean_name(name: str) -> str:
    """A member's name as it is shown and matched: forward slashes, no drive, no root, no `.` or `..`, no controls."""
    name = re.sub(r"[\x00-\x1f\x7f-\x9f]", "", name.replace("\\", "/"))
    name = re.sub(r"^[A-Za-z]:(?=/)", "", name)
    return "/".join(part for part in name.split("/") if part not in ("", ".", ".."))


def told_name(name: str) -> str:
    """A name from bytes that are no UTF-8 (Python keeps them as half characters): mostly GBK, packed in China."""
    raw = name.encode("utf-8", "surrogateescape") if any("\udc80" <= char <= "\udcff" for char in name) else None
    return name if raw is None else raw.decode("gb18030", "replace")


def is_hidden(name: str) -> bool:
    """Whether a relative name is a dotfile, stands in a hidden folder, or is what macOS adds to archives."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


class _Budget:
    """Counts the bytes that come out of one archive and stops at the bound."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.limit = max(UNPACKED_BYTES, UNPACKED_RATIO * path.stat().st_size)
        self.spent = 0
        self.members = 0

    def spend(self, count: int) -> None:
        self.spent += count
        if self.spent > self.limit:
            raise UserError(
                f"{self.path}: unpacks to more than {self.limit >> 20} MiB, which no corpus of its size does:"
                " if you trust it, unpack it yourself and give the folder"
            )

    def room(self, count: int, folder: Path) -> None:
        """Refuses what says that it unpacks to more bytes than are free: a disk is not filled to find out."""
        free = shutil.disk_usage(folder).free
        if min(count, self.limit - self.spent) > free:
            raise UserError(
                f"{self.path}: unpacks to {_told(count)}, and only {_told(free)} are free in {folder.parent}:"
                " make room, or unpack it yourself elsewhere and give the folder"
            )

    def member(self) -> None:
        self.members += 1
        if self.members > MEMBERS:
            raise UserError(f"{self.path}: holds more than {MEMBERS:,} files: unpack it yourself and give the folder")


def _told(count: int) -> str:
    return f"{count:,} bytes" if count < 1 << 20 else f"{count >> 20:,} MiB"


class _WriteError(OSError):
    """Writing failed, which must not be taken for a damaged archive."""


@contextmanager
def _damage(path: Path) -> Generator[None, None, None]:
    """Turns what a damaged archive raises into one line for the user; a full disk is not its fault."""
    try:
        yield
    except _WriteError:
        raise
    except _DAMAGED as error:
        why = str(error) or "it ends too early"
        raise UserError(f"{path}: the archive is damaged ({why}): fetch it again") from error


def _copy(stream: IO[bytes], target: Path, budget: _Budget | None) -> None:
    try:
        out = target.open("xb")
    except OSError as error:
        raise _WriteError(error.errno, error.strerror, str(target)) from error
    with out:
        while data := stream.read(_CHUNK):
            if budget is not None:
                budget.spend(len(data))
            try:
                out.write(data)
            except OSError as error:
                raise _WriteError(error.errno, error.strerror, str(target)) from error


def _without_suffix(name: str, kind: str) -> str:
    for suffix in _SUFFIXES[kind]:
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return name


# ---- zip


def _unpack_zip(path: Path, folder: Path, budget: _Budget) -> tuple[list[Member], list[str]]:
    members: list[Member] = []
    aside: list[str] = []
    with _damage(path), zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        if any(info.filename == "[Content_Types].xml" for info in infos):
            raise UserError(f"{path}: is an Office document (.xlsx, .docx), not text: save it as .csv or .tsv")
        budget.room(sum(info.file_size for info in infos), folder)
        for info in infos:
            name = clean_name(_zip_name(info))
            if info.is_dir() or not name or is_hidden(name):
                continue
            if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
                aside.append(name)
                continue
            _check_zip_member(path, name, info)
            budget.member()
            target = folder / f"{len(members):06d}"
            with archive.open(info) as stream:
                _copy(stream, target, budget)
            members.append(Member(target, name))
    return members, aside


def _check_zip_member(path: Path, name: str, info: zipfile.ZipInfo) -> None:
    if info.flag_bits & 0x1:
        raise UserError(f"{path}: {name} is protected by a password: unpack the archive yourself and give the folder")
    # zipfile bounds what one read of the other methods returns by their compressed size only.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UserError(
            f"{path}: {name} is packed with a method not read here ({info.compress_type}):"
            " unpack the archive yourself and give the folder"
        )


def _zip_name(info: zipfile.ZipInfo) -> str:
    """The member's name; those without the UTF-8 mark are mostly UTF-8 all the same, or GBK when packed in China."""
    if info.flag_bits & 0x800:
        return info.filename
    try:
        raw = info.filename.encode("cp437")
    except UnicodeEncodeError:
        return info.filename
    for encoding in ("utf-8", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return info.filename


# ---- tar


class _StrictInfo(tarfile.TarInfo):
    """tarfile takes a broken header after the first member for the end of the archive: here it is damage.

    And it reads what belongs to a header in one piece, however long that says it is.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        info = super().frombuf(buf, encoding, errors)
        if info.type in _EXTENDED and info.size > _HEADER_BYTES:
            raise ReadError(f"a header of {info.size:,} bytes")
        return info

    @classmethod
    def fromtarfile(cls, tarfile: TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile)
        except HeaderError as error:
            # These two are the end of the archive; they and their siblings have no public names.
            if type(error).__name__ in ("EOFHeaderError", "EmptyHeaderError"):
                raise
            raise ReadError(str(error)) from error


class _Counted:
    """A stream that spends the budget: headers and skipped members cost as much as files do."""

    def __init__(self, stream: IO[bytes], budget: _Budget) -> None:
        self.stream = stream
        self.budget = budget

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(size)
        self.budget.spend(len(data))
        return data


def _is_tar(head: bytes) -> bool:
    if len(head) < 512 or not head.strip(b"\0"):
        return False
    try:
        tarfile.TarInfo.frombuf(head[:512], "utf-8", "surrogateescape")
    except tarfile.TarError:
        return False
    return True


def _holds_tar(path: Path, kind: str) -> bool:
    with _damage(path), _OPENERS[kind](path, "rb") as stream:
        return _is_tar(stream.read(512))


def _unpack_tar(path: Path, kind: str, folder: Path, budget: _Budget) -> tuple[list[Member], list[str]]:
    members: list[Member] = []
    aside: list[str] = []
    opener = _OPENERS.get(kind, open)
    with _damage(path), opener(path, "rb") as raw:
        counted: Any = _Counted(raw, budget)
        # As a stream ("r|"): forwards only, so nothing can come out uncounted.
        with tarfile.open(fileobj=counted, mode="r|", tarinfo=_StrictInfo) as archive:
            for info in archive:
                name = clean_name(told_name(info.name))
                if info.isdir() or not name or is_hidden(name):
                    continue
                stream = archive.extractfile(info) if info.isreg() else None
                if stream is None:
                    aside.append(name)
                    continue
                budget.member()
                budget.room(info.size, folder)
                target = folder / f"{len(members):06d}"
                # What a sparse file is said to hold comes from no stream, so it is counted as it is written.
                _copy(stream, target, budget if info.issparse() else None)
                members.append(Member(target, name))
        # What follows the end mark holds the checksum of a compressed stream: read on, or its damage goes unseen.
        while counted.read(_CHUNK):
            pass
    return members, aside
