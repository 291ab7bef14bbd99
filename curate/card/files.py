"""Source files as a card tells of them: each, or where a split has very many, one entry for all of a reader's."""

from __future__ import annotations

import hashlib
from collections import Counter
from os.path import commonpath
from pathlib import PurePosixPath
from typing import Any

from jingtiao.markdown import cell, table
from jingtiao.numbers import count as _n

Entry = dict[str, Any]

#: With more files than this a split's files are told together; the manifest has every one of them.
MANY_FILES = 20


def are_many(entries: list[Entry]) -> bool:
    """Whether some split has more files than a card lists."""
    return max(Counter(entry["split"] for entry in entries).values(), default=0) > MANY_FILES


def told(entries: list[Entry]) -> list[Entry]:
    """The manifest's `sources` for a card.

    Together stands for files of one split and one reader: `file` is the folder in which they all lie, `files` says how
    many they are, `encodings` how many there are of each, and `sha256` is that of a text with one line a file,
    `<sha256>  <path>`, in the order of the paths (for parallel files, `target` is the same of the other sides).
    """
    found: list[Entry] = []
    groups: dict[tuple[str, str], list[Entry]] = {}
    per_split = Counter(entry["split"] for entry in entries)
    for entry in entries:
        if per_split[entry["split"]] <= MANY_FILES:
            found.append(entry)
            continue
        group = groups.setdefault((entry["split"], entry["reader"]), [])
        if not group:
            found.append({"group": group})
        group.append(entry)
    return [_together(entry["group"]) if "group" in entry else entry for entry in found]


def _together(files: list[Entry]) -> Entry:
    if len(files) == 1:
        return files[0]
    repaired: Counter[str] = Counter()
    for entry in files:
        repaired.update(entry["repaired"])
    folder = commonpath([PurePosixPath(entry["file"]).parent for entry in files])
    told: Entry = {
        "split": files[0]["split"],
        "file": f"{folder or '.'}/",
        "files": len(files),
        **_sums(files, [entry["file"] for entry in files]),
        "rows": sum(entry["rows"] for entry in files),
        "reader": files[0]["reader"],
        "repaired": dict(sorted(repaired.items())),
    }
    targets = [(entry["target"], entry["file"]) for entry in files if "target" in entry]
    if targets:
        told["target"] = _sums([target for target, _ in targets], [name for _, name in targets])
    return told


def _sums(files: list[Entry], names: list[str]) -> Entry:
    """Bytes, encodings and sha256 of files together."""
    lines = sorted((name, f"{entry['sha256']}  {name}\n") for name, entry in zip(names, files, strict=True))
    encodings = Counter(entry["encoding"] for entry in files)
    return {
        "bytes": sum(entry["bytes"] for entry in files),
        "sha256": hashlib.sha256("".join(line for _, line in lines).encode()).hexdigest(),
        "encodings": dict(sorted(encodings.items())),
    }


def source_table(entries: list[Entry], w: dict[str, str]) -> str:
    """The table of a card's `sources`."""
    head = [w[key] for key in ("split", "file", "reader", "rows", "encoding", "bytes")] + ["sha256"]
    rows = []
    for entry in entries:
        name = f"{entry['file']} ({entry['member']})" if "member" in entry else entry["file"]
        if "files" in entry:
            name = f"{name} ({_n(entry['files'])})"
        for part, shown, count in ((entry, name, _n(entry["rows"])), (entry.get("target"), f"{name} → target", "")):
            if part:
                told = [shown, entry["reader"], count, _encodings(part), _n(part["bytes"]), part["sha256"]]
                rows.append([entry["split"], *told])
    return table(head, rows, len(head))


def _encodings(entry: Entry) -> str:
    if "encodings" not in entry:
        return entry["encoding"]
    return ", ".join(f"{name or '–'} {_n(n)}" for name, n in entry["encodings"].items())


def ignored_line(card: dict[str, Any], w: dict[str, str]) -> str:
    """What was left aside, by name as far as the card has names."""
    names = card["ignored_files"]
    n = card.get("ignored", len(names))  # of a run before there was a limit, all are named
    more = w["ignored_more"].format(n=_n(n)) if n > len(names) else ""
    return w["ignored"] + ", ".join(map(cell, names)) + more if names else ""
