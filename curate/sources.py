"""Where the bytes come from: a folder, a file or an archive becomes the numbered files of each split.

A recipe names the files of a split by patterns, which are *ordered alternatives*: the first one that matches anything
wins, so that two layouts of the same questions are never read as two sets of them. What is left aside is reported.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from curate.archives import archive_kind, is_hidden, told_name, unpack
from curate.binary import KINDS, binary_info, binary_kind
from curate.naming import row_prefixes, split_of
from curate.text.decode import FileInfo, no_text, sniff
from curate.types import SPLITS, File, UserError
from curate.unchanged import Changed

#: Names listed in an error before it says how many more there are.
_SHOWN = 12
#: Papers that lie beside a corpus: never data unless a pattern names them.
_PAPERS = ("readme*", "license*", "licence*", "changelog*", "*.md", "*sha256*", "*md5sum*")
#: The words by which the two sides of parallel files are told apart: source side first.
_SIDES = (
    ("source", "target"),
    ("sources", "targets"),
    ("src", "tgt"),
    ("src", "trg"),
    ("article", "summary"),
    ("article", "title"),
    ("articles", "summaries"),
    ("articles", "titles"),
    ("document", "summary"),
    ("doc", "summary"),
    ("content", "summary"),
    ("content", "title"),
    ("text", "summary"),
    ("input", "output"),
    ("post", "response"),
)


@dataclass(frozen=True)
class Source:
    """The files of a run in the order of their numbers, and what was seen on the way.

    `infos` has an entry for every path read, partners included. `display` names the parts without local paths, as
    they may stand in a card: `train=a.tsv`. `origins` says of files from the hub where there. `given`
    are the `--source` arguments by which the same files are found again from anywhere.
    """

    files: list[File]
    ignored: list[str]
    infos: dict[Path, FileInfo]
    display: list[str]
    origins: dict[Path, dict[str, str]] = field(default_factory=dict)
    given: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Found:
    """A file of a part before its split is known; `name` is relative to the part."""

    path: Path
    name: str
    partner: Path | None = None
    partner_name: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,) if self.partner_name is None else (self.name, self.partner_name)


@dataclass
class _Part:
    """One `--source`: its files, and whether it was a single one (which needs no pattern)."""

    label: str
    split: str | None
    found: list[_Found]
    single: bool
    aside: list[str] = field(default_factory=list)


def open_source(
    parts: list[tuple[str | None, Path]],
    patterns: dict[str, list[str]],
    recipe_name: str,
    workdir: Path,
    split_members: Callable[[Path, FileInfo], list[str]] | None = None,
    parallel: bool = False,
    file_rows: bool = False,
    binary: bool = False,
) -> Source:
    """Find the files of every split in `parts` (split or None, path), unpacking archives into `workdir`.

    `split_members` says which splits a file holds inside (a JSON object of splits); with `parallel` the target side of
    a pair of files is found by name and counts with its source. With `file_rows` a file is a row: one that is no text
    is a matter of its reader. With `binary` Parquet files and Excel workbooks are welcome.
    """
    if not parts:
        raise UserError("no source: give --source FOLDER, FILE or ARCHIVE")
    opened = [_open_part(split, path, workdir / f"{n:03d}", parallel) for n, (split, path) in enumerate(parts)]
    claimed: list[tuple[str, bool, _Found]] = []
    for part in opened:
        claimed += [(split, part.split is not None, found) for split, found in _claim(part, patterns)]
    claimed = _once(claimed)
    infos = _sniff_all([found for _, _, found in claimed], file_rows, binary)
    files = [file for split, named, found in claimed for file in _files_of(split, named, found, infos, split_members)]
    used = {path for _, _, found in claimed for path in (found.path, found.partner)}
    ignored = {n for part in opened for found in part.found if found.path not in used for n in found.names}
    ignored.update(name for part in opened for name in part.aside)
    return Source(
        files=_number(files, recipe_name),
        ignored=sorted(ignored),
        infos=infos,
        display=[f"{split}={_label(path)}" if split else _label(path) for split, path in parts],
    )


# ---- a part and its files


def _open_part(split: str | None, path: Path, workdir: Path, parallel: bool) -> _Part:
    label = str(path)
    if split is not None and split not in SPLITS:
        raise UserError(f"{split}={label}: there is no split {split!r}, they are {', '.join(SPLITS)}")
    if path.is_dir():
        files, aside = folder_files(path)
        found = [_Found(file, name) for file, name in files]
        if not found:
            raise UserError(f"{label}: the folder holds no files, give the folder in which the corpus lies")
        return _Part(label, split, _pair(found) if parallel else found, single=False, aside=aside)
    if not path.exists():
        raise UserError(f"{label}: there is no such file or folder")
    if not path.is_file():
        raise UserError(f"{label}: is neither a folder nor a file")
    kind = None if binary_kind(path) else archive_kind(path)
    if kind is not None:
        members, aside = unpack(path, kind, workdir)
        found = [_Found(member.path, member.name) for member in members]
        if not found:
            raise UserError(f"{label}: the archive holds no files that can be read")
        found = _pair(found) if parallel else found
        return _Part(label, split, found, single=len(found) == 1, aside=aside)
    return _Part(label, split, [_with_sibling(path) if parallel else _Found(path, path.name)], single=True)


def folder_files(folder: Path) -> tuple[list[tuple[Path, str]], list[str]]:
    """Every visible file below a folder by relative name, and the names of what can't be one.

    Linked folders are followed, but none twice. A pipe, a device or a link to nothing is never opened.
    """
    found: list[tuple[Path, str]] = []
    aside: list[str] = []
    seen: set[str] = set()

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename}: cannot be read: {error.strerror}") from error

    for root, folders, files in os.walk(folder, followlinks=True, onerror=refuse):
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        # In a fixed order, so that of two links to one folder always the same one is followed.
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        for name in files:
            path = Path(root, name)
            if not is_hidden(name):
                told = told_name(path.relative_to(folder).as_posix())
                found.append((path, told)) if path.is_file() else aside.append(told)
    return sorted(found, key=lambda entry: entry[1]), aside


# ---- parallel files


def partner_names(name: str, to_target: bool = True) -> list[str]:
    """The names the other side of a parallel file may have: `eval_source.txt` → `eval_target.txt`."""
    pieces = re.split(r"([A-Z]?[a-z]+|[A-Z]+)", name)
    names: list[str] = []
    for pair in _SIDES:
        mine, other = pair if to_target else pair[::-1]
        spots = [i for i, piece in enumerate(pieces) if piece.lower() == mine]
        if not spots:
            continue
        # All of them at once (source/train.source.txt), or only the last one.
        for chosen in (spots, spots[-1:]):
            changed = [_in_case_of(p, other) if i in chosen else p for i, p in enumerate(pieces)]
            names.append("".join(changed))
    return list(dict.fromkeys(names))


def _in_case_of(model: str, word: str) -> str:
    if model.isupper():
        return word.upper()
    return word.capitalize() if model[:1].isupper() else word


def _pair(found: list[_Found]) -> list[_Found]:
    """Join each source side with its target; the target is no file of its own any more."""
    by_name = {one.name.lower(): one for one in found}
    targets: dict[str, _Found] = {}
    taken: set[str] = set()
    for one in found:
        for name in partner_names(one.name):
            other = by_name.get(name.lower())
            if other is not None and other.name not in taken and one.name not in taken:
                targets[one.name] = other
                taken.add(other.name)
                break
    joined = []
    for one in found:
        if one.name in taken:
            continue
        other = targets.get(one.name)
        joined.append(replace(one, partner=other.path, partner_name=other.name) if other else one)
    return joined


def _with_sibling(path: Path) -> _Found:
    """A single file with its partner beside it, whichever of the two was named."""
    beside = {one.name.lower(): one for one in sorted(path.parent.iterdir()) if one.is_file()}
    for to_target in (True, False):
        for name in partner_names(path.name, to_target):
            other = beside.get(name.lower())
            if other is not None:
                source, target = (path, other) if to_target else (other, path)
                return _Found(source, source.name, target, target.name)
    return _Found(path, path.name)


# ---- which split


def _claim(part: _Part, patterns: dict[str, list[str]]) -> list[tuple[str, _Found]]:
    """The files of a part with their splits."""
    if part.single:
        only = part.found[0]
        split = part.split or next((s for s, _ in _match(part.found, patterns)), "train")
        return [(split, only)]
    if part.split is not None:
        mine = [(s, found) for s, found in _match(part.found, patterns) if s == part.split]
        if mine:
            return mine
        data = [found for found in part.found if not _fits_any(found, _PAPERS)]
        return [(part.split, found) for found in data or part.found]
    matched = _match(part.found, patterns)
    if not matched:
        wanted = "; ".join(f"{split}: {', '.join(globs)}" for split, globs in patterns.items() if globs)
        names = [found.name for found in part.found]
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        raise UserError(
            f"{part.label}: no file has a name the recipe looks for ({wanted});"
            f" found {', '.join(names[:_SHOWN])}{more};"
            " name the split (--source train=FILE), and give archives themselves as --source"
        )
    return matched


def _match(found: list[_Found], patterns: dict[str, list[str]]) -> list[tuple[str, _Found]]:
    """Ordered alternatives for each split: the first pattern that matches a file nobody claimed takes all it matches.

    Names are asked before relative paths: in `train_data/test.txt` the file's own name says what it is.
    """
    claimed: dict[str, str] = {}

    def take(split: str, fits: Callable[[_Found, str], bool]) -> bool:
        for pattern in patterns.get(split, []):
            mine = [one for one in found if one.name not in claimed and fits(one, pattern)]
            if mine:
                claimed.update((one.name, split) for one in mine)
                return True
        return False

    missing = [split for split in SPLITS if not take(split, _fits)]
    named = {one.name for one in found if _fits_any(one, [p for globs in patterns.values() for p in globs])}
    for split in missing:
        take(split, lambda one, pattern: one.name not in named and _fits(one, pattern, by_path=True))
    return [(claimed[one.name], one) for one in found if one.name in claimed]


def claimed_names(
    names: list[str], patterns: Mapping[str, Iterable[str]], split: str | None, parallel: bool
) -> list[str]:
    """Of relative names, those that the patterns take (for one split, or for any), partners included."""
    found = [_Found(Path(name), name) for name in sorted(names)]
    matched = _match(_pair(found) if parallel else found, {name: list(globs) for name, globs in patterns.items()})
    return [name for took, one in matched if split in (None, took) for name in one.names]


def _fits(found: _Found, pattern: str, by_path: bool = False) -> bool:
    """A pattern with a slash is about the relative path, any other about the file's name, unless `by_path`."""
    whole = by_path or "/" in pattern
    names = (name if whole else PurePosixPath(name).name for name in found.names)
    return any(fnmatchcase(name.lower(), pattern.lower()) for name in names)


def _fits_any(found: _Found, patterns: Iterable[str]) -> bool:
    return any(_fits(found, pattern) for pattern in patterns)


# ---- from claimed files to numbered ones


def _once(claimed: list[tuple[str, bool, _Found]]) -> list[tuple[str, bool, _Found]]:
    """A parallel pair named by both its files is one pair; any other file named twice for a split is a mistake."""
    kept: dict[tuple[str, Path], tuple[str, bool, _Found]] = {}
    for split, named, found in claimed:
        key = (split, found.path.absolute())
        if key in kept and found.partner is None:
            raise UserError(f"{found.path}: is given twice for {split}, name it once")
        kept[key] = (split, named, found)
    return list(kept.values())


def _sniff_all(found: list[_Found], file_rows: bool, binary: bool) -> dict[Path, FileInfo]:
    """The infos of all files. Those that can't be read are named at once, or with `file_rows` by their infos."""
    infos: dict[Path, FileInfo] = {}
    errors: list[str] = []
    wanted = {one.path: one.name for one in found}
    wanted.update((one.partner, one.partner_name or one.partner.name) for one in found if one.partner is not None)
    for path, name in sorted(wanted.items(), key=lambda entry: entry[1]):
        try:
            infos[path] = _look_at(path, name, binary)
        except Changed:
            raise
        except UserError as error:
            if file_rows and os.access(path, os.R_OK):
                infos[path] = no_text(path, name, error.messages[0])
            else:
                errors += error.messages
    if errors:
        more = len(errors) - _SHOWN
        raise UserError(*errors[:_SHOWN], *([f"and {more} more files that can't be read"] if more > 0 else []))
    return infos


def _look_at(path: Path, name: str, binary: bool) -> FileInfo:
    kind = binary_kind(path)
    if kind is None:
        return sniff(path, name)
    if not binary:
        raise UserError(
            f"{name}: is {KINDS[kind]}, which this recipe's reader can't read: give the corpus's text file, "
            "or a recipe whose reader is rows"
        )
    return binary_info(path, name, kind)


def _files_of(
    split: str,
    named: bool,
    found: _Found,
    infos: dict[Path, FileInfo],
    split_members: Callable[[Path, FileInfo], list[str]] | None,
) -> list[File]:
    """One File, or one for each split a JSON object holds; a split the user named takes only its own part of it."""
    members = split_members(found.path, infos[found.path]) if split_members and found.partner is None else []
    inner = [(inside, member) for member in members if (inside := split_of(member))]
    if not inner:
        partner = infos[found.partner] if found.partner else None
        return [File(found.path, found.name, split, number=0, partner=found.partner, partner_info=partner)]
    if named:
        mine = [pair for pair in inner if pair[0] == split]
        if not mine:
            have = ", ".join(member for _, member in inner)
            raise UserError(f"{found.name}: holds no {split} part, only {have}: leave out `{split}=` to take them all")
        inner = mine
    return [File(path=found.path, name=found.name, split=s, number=0, member=member) for s, member in inner]


def _number(files: list[File], recipe_name: str) -> list[File]:
    """Numbers in the order of the relative names, and the prefix under which the rows of a file are printed."""
    prefixes: dict[tuple[str, str], str] = {}
    for split in SPLITS:
        names = [file.name for file in files if file.split == split]
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise UserError(*(_same_name(split, name) for name in sorted(twice)[:_SHOWN]))
        for name, prefix in zip(names, row_prefixes(recipe_name, split, names), strict=True):
            prefixes[split, name] = prefix
    ordered = sorted(files, key=lambda file: (file.name, SPLITS.index(file.split)))
    return [replace(file, number=n, prefix=prefixes[file.split, file.name]) for n, file in enumerate(ordered)]


def _same_name(split: str, name: str) -> str:
    return f"{name}: two files of {split} have this name, and so would their rows: rename one, or leave one out"


def _label(path: Path) -> str:
    return path.name or path.absolute().name
