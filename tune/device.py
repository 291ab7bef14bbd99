"""What the machine has: the device that trains, and its memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jingtiao.memory import free_memory

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


def chosen(device: str | None = None) -> tuple[Any, Any]:
    """The torch device that work is done on, a GPU where there is one, and the dtype of weights there."""
    import torch

    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    return place, torch.bfloat16 if place.type == "cuda" else torch.float32


def size(bytes_: float) -> str:
    """`1.2 GiB`, `340 MiB`."""
    return f"{bytes_ / GIB:,.1f} GiB" if bytes_ >= GIB else f"{bytes_ / (1 << 20):,.0f} MiB"
