"""Run commands in fresh processes, taking turns, and print medians of wall time, CPU time and peak memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """Seconds of wall time and of CPU (user and system, children included), and peak resident memory in MB."""

    wall: float
    cpu: float
    peak: float


def once(command: list[str]) -> Cost:
    """One run of a command, its output dropped. Raises CalledProcessError if it fails."""
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert child.stderr
    said = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command, stderr=said)
    per_mb = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / per_mb)


def alternate(commands: dict[str, list[str]], times: int) -> dict[str, Cost]:
    """Each command `times` times, in turns, so that a busy moment of the machine meets all of them; the medians."""
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for _ in range(times):
        for name, command in commands.items():
            costs[name].append(once(command))
    return {
        name: Cost(*(statistics.median(getattr(cost, part) for cost in runs) for part in ("wall", "cpu", "peak")))
        for name, runs in costs.items()
    }


def table(costs: dict[str, Cost], base: str | None = None) -> str:
    """The medians as a Markdown table; with `base`, wall times also as multiples of that command's."""
    lines = ["| command | wall s | CPU s | peak MB |" + (" × wall |" if base else "")]
    lines.append("|---|---:|---:|---:|" + ("---:|" if base else ""))
    for name, cost in costs.items():
        times = f" {cost.wall / costs[base].wall:.2f} |" if base else ""
        lines.append(f"| {name} | {cost.wall:.2f} | {cost.cpu:.2f} | {cost.peak:.0f} |{times}")
    return "\n".join(lines)
