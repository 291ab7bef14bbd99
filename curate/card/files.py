"""Source files as a card tells of them: each, or where a split has very many, one entry for all of a reader's."""

from __future__ import annotations

import hashlib
from collections import Counter
from os.path import commonpath
from pathlib import PurePosixPath
from typing import Any

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
