"""Bytes to text: which encoding a file is in, and its text block by block or line by line.

Published corpora come as UTF-8 with and without a byte order mark, GBK / GB18030 and UTF-16; some hold NUL bytes or
characters cut in half. Nothing here looks at rows: a file is sniffed once, then read with what was found.
"""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from curate.ahead import Behind
from curate.lazy import pl
from curate.types import UserError
from curate.unchanged import Stamp, blocks, sha256_of

#: Bytes read at a time; fewer while they are only looked at, so that their memory stays in the cache.
BLOCK = 4 << 20
SNIFF_BLOCK = 256 << 10
#: Lines in one list of `read_lines`, and the characters after which a list is handed out earlier.
LINES = 32_768
LINE_CHARS = 16 << 20
#: How much of a file decides whether it is text at all.
HEAD = 64 << 10

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    # UTF-32's little-endian mark begins with UTF-16's, so it is asked first.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"%PDF-", "a PDF document"),
    (b"\x7fELF", "a program"),
    (b"RIFF", "a sound, film or WebP file"),
    (b"ID3", "a sound file"),
    (b"OggS", "a sound file"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy file"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document (.xls, .doc)"),
    (b"PK\x03\x04", "a zip archive or an Office document (.xlsx, .docx)"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"Rar!\x1a\x07", "a rar archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x1f\x8b\x08", "a gzip file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ\0", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
)
#: BZh, ID3, RIFF and PAR1 could begin a text: for them a NUL or a control character must stand nearby too.
_PLAIN_MAGIC = (b"BZh", b"ID3", b"RIFF", b"PAR1", b"OggS", b"GIF8", b"ARROW1")
#: Control characters that no text holds in number (tab, line ends, form feed, backspace and escape may stand in one);
#: NULs are counted apart, since otherwise good texts come padded with them. Random bytes hold 10 % of the others.
_CONTROLS = bytes(c for c in range(1, 32) if c not in b"\t\n\r\f\b\x1b") + b"\x7f"
_MOST_CONTROLS = 0.08
_MOST_NULS = 0.2
#: U+FFFD in the encodings that are tried: where none of them stands, no text can honestly hold it.
_HONEST = tuple("\ufffd".encode(encoding) for encoding in ("utf-8", "gb18030", "utf-16-le", "utf-16-be"))
#: Above this share of broken characters (a few are allowed in any case) a file isn't text in that encoding.
_MOST_BROKEN = 0.1
_FEW_BROKEN = 4
#: UTF-8 checks itself: GBK text read as UTF-8 is nearly all errors, so a file with fewer than this is broken UTF-8.
_UTF8_BROKEN = 0.35


@dataclass(frozen=True)
class FileInfo:
    """What one look at a file's bytes says: `undecodable` characters are read as U+FFFD, `nul` ones are dropped.

    `problem` says why a file is no text; it is for readers whose files are rows, which may lack one. Of a file that
    some reader knows though it is no text (`binary`), `encoding` names the kind. With a `stamp` the file is read only
    as it was when it was looked at.
    """

    bytes: int
    sha256: str
    encoding: str
    nul: int
    undecodable: int
    newline: str
    problem: str = ""
    binary: bool = False
    stamp: Stamp | None = None


@dataclass
class _Scan:
    """The first pass: everything that needs no knowledge of the encoding, and whether the bytes are strict UTF-8.

    `whole` are the bytes of a small file, which need not be read again.
    """

    stamp: Stamp
    whole: bytes | None = None
    size: int = 0
    sha256: str = ""
    head: bytes = b""
    nul: int = 0
    cr: int = 0
    lf: int = 0
    crlf: int = 0
    blank: bool = True
    utf8: bool = True


@dataclass
class _Tally:
    """A decoding tried over the whole file: broken characters, good ones beyond ASCII, NULs, line ends."""

    broken: int = 0
    multibyte: int = 0
    nul: int = 0
    cr: int = 0
    lf: int = 0
    crlf: int = 0
    blank: bool = True

    @property
    def share(self) -> float:
        """Broken characters among all that are not ASCII."""
        return self.broken / max(1, self.broken + self.multibyte)


def sniff(path: Path, name: str | None = None, block: int = SNIFF_BLOCK) -> FileInfo:
    """Size, sha256 and encoding of a file; a UserError (naming it `name`) if it is empty or no text.

    UTF-8, by far the most frequent, costs one pass; anything else is decoded again to compare what fits.
    """
    name = name or path.name
    try:
        scan = _scan(path, name, block)
        _refuse_binary(name, scan)
        encoding, tally = _choose(path, name, scan, block)
    except OSError as error:
        raise UserError(f"{name}: cannot be read: {error.strerror or error}") from error
    most = _UTF8_BROKEN if encoding == "utf-8" else _MOST_BROKEN
    if tally is not None and tally.broken > _FEW_BROKEN and tally.share > most:
        raise UserError(_no_text(name, "too many of its bytes fit none of UTF-8, GB18030 and UTF-16"))
    if tally is not None and tally.blank:
        raise UserError(f"{name}: holds nothing but white space, fetch the file again or leave it out")
    counts = scan if tally is None else tally
    return FileInfo(
        bytes=scan.size,
        sha256=scan.sha256,
        encoding=encoding,
        nul=counts.nul,
        undecodable=0 if tally is None else tally.broken,
        newline=_newline(counts.cr, counts.lf, counts.crlf),
        stamp=scan.stamp,
    )


def no_text(path: Path, name: str, problem: str) -> FileInfo:
    """The info of a file that `sniff` refused; its bytes count for the run's fingerprint all the same."""
    stamp = Stamp.of(name, path)
    return FileInfo(stamp.bytes, sha256_of(path, stamp), "", 0, 0, "\n", problem, stamp=stamp)


def read_blocks(path: Path, info: FileInfo, block: int = BLOCK) -> Iterator[str]:
    """The file's text in blocks: byte order mark and NULs dropped, undecodable bytes replaced by U+FFFD."""
    for text in _decode(blocks(path, info.stamp, block), info.encoding, "replace"):
        if info.nul:
            text = text.replace("\0", "")
        if text:
            yield text


def read_text(path: Path, info: FileInfo, block: int = BLOCK) -> str:
    """The whole text of a file, line ends as they stand in it."""
    return "".join(read_blocks(path, info, block))


def read_lines(path: Path, info: FileInfo, block: int = BLOCK) -> Iterator[list[str]]:
    """The file's lines in lists of about `LINES`, without their line ends; a last line may lack one.

    Lines end at a line feed only (a text may hold U+2028, U+0085 or a form feed), and all carriage returns before it
    belong to the line end. A file that has carriage returns only is cut at those.
    """
    end = "\r" if info.newline == "\r" else "\n"
    open_line: list[str] = []  # pieces of a line not yet ended: joined once, or one huge line would cost its square
    waiting: list[str] = []
    chars = 0
    for text in read_blocks(path, info, block):
        first, found, rest = text.partition(end)
        open_line.append(first)
        if not found:
            continue
        lines = rest.split(end)
        lines.insert(0, "".join(open_line))
        open_line = [lines.pop()]
        if end == "\n":
            if "\r" in text:
                lines = [line.rstrip("\r") for line in lines]
            elif lines:
                lines[0] = lines[0].rstrip("\r")  # its carriage return may have come with the block before
        waiting = waiting + lines if waiting else lines
        chars += len(text)
        whole = len(waiting) - len(waiting) % LINES
        for at in range(0, whole, LINES):
            yield waiting[at : at + LINES]
        if whole:
            waiting, chars = waiting[whole:], 0
        if waiting and chars >= LINE_CHARS:
            yield waiting
            waiting, chars = [], 0
    last = "".join(open_line)
    if end == "\n":
        last = last.rstrip("\r")
    if last:
        waiting.append(last)
    if waiting:
        yield waiting


def byte_lines(path: Path, info: FileInfo, block: int = BLOCK) -> Iterator[bytes]:
    """The file's bytes in blocks of whole lines, each ended by a line feed but perhaps the last."""
    open_line: list[bytes] = []  # as in `read_lines`: one huge line must not be copied again and again
    for data in blocks(path, info.stamp, block):
        cut = data.rfind(b"\n") + 1
        if cut:
            yield b"".join((*open_line, memoryview(data)[:cut]))
            open_line = []
        open_line.append(data[cut:])
    if last := b"".join(open_line):
        yield last


def _newline(cr: int, lf: int, crlf: int) -> str:
    if cr and not lf:
        return "\r"
    return "\r\n" if crlf * 2 > lf else "\n"


def _scan(path: Path, name: str, block: int) -> _Scan:
    scan = _Scan(Stamp.of(name, path))
    digest = hashlib.sha256()
    begun = before = b""
    # hashlib lets go of the interpreter: the hash is taken beside the looking.
    with Behind(depth=16) as hashing:
        for data in blocks(path, scan.stamp, block):
            if scan.size or len(data) == block:
                hashing.call(digest.update, data)
            else:  # the only block of a small file: a thread would cost more than it saves
                digest.update(data)
                scan.whole = data
            scan.size += len(data)
            if len(scan.head) < HEAD:
                scan.head += data[: HEAD - len(scan.head)]
            # `in` is many times as fast as `count`, and mostly there is nothing to count.
            scan.nul += data.count(b"\0") if b"\0" in data else 0
            if b"\r" in data:
                scan.cr += data.count(b"\r")
                scan.crlf += data.count(b"\r\n")
            scan.crlf += before == b"\r" and data[:1] == b"\n"
            before = data[-1:]
            scan.blank = scan.blank and not data.strip()
            if scan.utf8:
                data = begun + data
                cut = _last_character(data)
                scan.utf8 = _is_utf8(data[:cut])
                begun = data[cut:]
    if scan.cr:  # elsewhere nothing depends on how many there are
        scan.lf = sum(data.count(b"\n") for data in _again(path, scan, block))
    scan.utf8 = scan.utf8 and _is_utf8(begun)
    scan.sha256 = digest.hexdigest()
    return scan


def _again(path: Path, scan: _Scan, block: int) -> Iterable[bytes]:
    """The bytes of a file that was looked at already."""
    return blocks(path, scan.stamp, block) if scan.whole is None else (scan.whole,)


def _last_character(data: bytes) -> int:
    """Where the last character begins, which may go on in the next block; the end where there is no such place."""
    near = range(len(data) - 1, max(len(data) - 5, -1), -1)
    return next((at for at in near if data[at] & 0xC0 != 0x80), len(data))


def _is_utf8(data: bytes) -> bool:
    """Whether the bytes are UTF-8. polars only looks: making a Python text of them takes five times as long."""
    try:
        if len(data) < HEAD:
            data.decode("utf-8")
            return True
        pl.Series([data], dtype=pl.Binary).cast(pl.String)
    except (UnicodeDecodeError, pl.exceptions.PolarsError):
        return False
    return True


def _refuse_binary(name: str, scan: _Scan) -> None:
    head = scan.head
    if not head or (scan.blank and not any(head.startswith(bom) for bom, _ in _BOMS)):
        what = "is empty (0 bytes)" if not head else "holds nothing but white space"
        raise UserError(f"{name}: {what}, fetch the file again or leave it out")
    for magic, what in _MAGIC:
        if head.startswith(magic) and (not magic.startswith(_PLAIN_MAGIC) or _odd(head[:4096])):
            raise UserError(_no_text(name, None, what))


def _no_text(name: str, why: str | None, what: str | None = None) -> str:
    if what is None:
        return f"{name}: is not text: {why}; give the corpus's text file (TSV, CSV, JSON or plain text)"
    if "archive" in what or what.startswith(("a gzip", "a bzip2", "an xz", "a zstd")):
        return f"{name}: is {what}, not text: unpack it, or give a .zip or .tar.gz itself as --source"
    return f"{name}: is {what}, not text: give the corpus's text file (TSV, CSV, JSON or plain text)"


def _controls(data: bytes) -> int:
    return len(data) - len(data.translate(None, _CONTROLS))


def _odd(data: bytes) -> bool:
    return b"\0" in data or _controls(data) > 0


def _choose(path: Path, name: str, scan: _Scan, block: int) -> tuple[str, _Tally | None]:
    """The encoding, and the tally of reading in it where the first pass doesn't already say everything."""
    for bom, encoding in _BOMS:
        if scan.head.startswith(bom):
            # A tally would say nothing new of strict UTF-8, except that there is nothing but the mark.
            strict = encoding == "utf-8-sig" and scan.utf8 and scan.size > HEAD
            return encoding, None if strict else _tally(path, scan, encoding, block)
    if scan.nul:
        wide = _wide(scan.head)
        if wide is not None:
            tally = _tally(path, scan, wide, block)
            if not tally.broken:
                return wide, tally
    head = scan.head
    if _controls(head) > _MOST_CONTROLS * len(head) or head.count(0) > _MOST_NULS * len(head):
        raise UserError(_no_text(name, "it is full of control characters"))
    if scan.utf8:
        return "utf-8", None
    utf8 = _tally(path, scan, "utf-8", block)
    if utf8.share <= _UTF8_BROKEN:
        return "utf-8", utf8
    chinese = _tally(path, scan, "gb18030", block)
    return ("utf-8", utf8) if utf8.share < chinese.share else ("gb18030", chinese)


def _wide(head: bytes) -> str | None:
    """UTF-16 without a byte order mark, betrayed by NULs that all stand on one side of the two-byte units."""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    ascii_units = max(even, odd)
    if min(even, odd) > ascii_units * 0.02 or ascii_units < len(head) * 0.005:
        return None
    encoding = "utf-16-le" if odd > even else "utf-16-be"
    try:
        text = head[: len(head) // 2 * 2 - 2].decode(encoding)
    except UnicodeDecodeError:
        return None
    usual = sum(c in "\t\n\r" or " " <= c <= "~" or "\u3000" <= c <= "\u9fff" or c >= "\uff00" for c in text)
    return encoding if usual >= 0.9 * len(text) else None


def _tally(path: Path, scan: _Scan, encoding: str, block: int) -> _Tally:
    tally = _Tally()
    before = ""
    for text in _decode(_again(path, scan, block), encoding, "replace"):
        tally.broken += text.count("\ufffd")
        tally.multibyte += len(text) - len(text.encode("ascii", "ignore"))
        tally.nul += text.count("\0")
        tally.lf += text.count("\n")
        tally.cr += text.count("\r")
        tally.crlf += text.count("\r\n") + (before == "\r" and text[:1] == "\n")
        before = text[-1:] or before
        tally.blank = tally.blank and not text.strip("\0 \t\r\n\f\v\u3000\ufeff")
    if tally.broken and (scan.whole is None or any(mark in scan.whole for mark in _HONEST)):
        # U+FFFD may honestly stand in a text: what "ignore" leaves of them is not counted as broken.
        told = _decode(_again(path, scan, block), encoding, "ignore")
        tally.broken -= sum(text.count("\ufffd") for text in told)
    tally.multibyte -= tally.broken
    return tally


def _decode(data: Iterable[bytes], encoding: str, errors: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    for some in data:
        yield decoder.decode(some)
    yield decoder.decode(b"", True)
