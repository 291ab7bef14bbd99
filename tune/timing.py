"""How long it will take, from a few rows that were timed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Probe:
    """Seconds of one warm row, and of the first row beyond that: compiling, warming up."""

    row: float
    start: float


def probe(run_row: Callable[[], object], rows: int = 3, clock: Callable[[], float] = time.perf_counter) -> Probe:
    """Time `run_row` once cold and `rows` times warm.

    It does what training does with one full row, and waits for the device to finish.
    """
    seconds = []
    for _ in range(rows + 1):
        begun = clock()
        run_row()
        seconds.append(clock() - begun)
    row = statistics.median(seconds[1:])
    return Probe(row, max(0.0, seconds[0] - row))


def duration(seconds: float) -> str:
    """`12 s`, `3 min`, `2 h 05 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"
