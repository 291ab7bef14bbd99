"""What the machine has: the device that trains, and its memory."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GIB = 1 << 30


@dataclass(frozen=True)
class Device:
    """Where training will run. memory: all of a GPU's, or what a CPU has free now. dtype: bytes of a weight."""

    type: str
    name: str
    memory: int
    dtype: int

    @classmethod
    def of(cls, device: Any, dtype: Any) -> Device:
        """From a torch device and dtype."""
        import torch

        if device.type == "cuda":
            facts = torch.cuda.get_device_properties(device)
            return cls("cuda", facts.name, facts.total_memory, dtype.itemsize)
        return cls(device.type, device.type.upper(), free_memory(), dtype.itemsize)


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


def size(bytes_: float) -> str:
    """`1.2 GiB`, `340 MiB`."""
    return f"{bytes_ / GIB:,.1f} GiB" if bytes_ >= GIB else f"{bytes_ / (1 << 20):,.0f} MiB"
