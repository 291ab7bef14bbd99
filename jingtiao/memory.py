"""How much memory there is, and how much a user allows."""

from __future__ import annotations

import os
import re
from pathlib import Path

from jingtiao.errors import UserError


def free_memory() -> int:
    """Bytes that this machine, or this container, could still give; where no one says, all that it has."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", meminfo.read_text(encoding="utf-8"), re.MULTILINE)
    free = int(found[1]) << 10 if found else os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        group = Path("/sys/fs/cgroup")
        limit = (group / "memory.max").read_text(encoding="utf-8").strip()
        used = int((group / "memory.current").read_text(encoding="utf-8"))
        return min(free, max(0, int(limit) - used)) if limit != "max" else free
    except (OSError, ValueError):
        return free


def parse_memory(text: str) -> int:
    """`16GB`, `8GiB`, `512MB` in bytes. Raises UserError for anything else."""
    powers = {f"{letter}{i}b": (1024 if i else 1000) ** n for n, letter in enumerate("kmgt", 1) for i in ("", "i")}
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]+)", text.strip().lower())
    size = round(float(found[1]) * powers.get(found[2], 0)) if found else 0
    if size <= 0:
        raise UserError(f"--memory {text}: write a size like 16GB, 8GiB or 512MB")
    return size
