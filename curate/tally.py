"""The funnel: for every step and split, how many rows came in, went out, and why the others did not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from curate.types import SPLITS


@dataclass
class Line:
    """One step on one split. `moved` counts rows that a `split` step took away (negative) or brought (positive)."""

    rows_in: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    flags: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    changes: dict[str, int] = field(default_factory=dict)
    moved: int = 0

    @property
    def rows_out(self) -> int:
        return self.rows_in - sum(self.reasons.values()) + self.moved


class Tally:
    """Lines in the order in which the steps ran."""

    def __init__(self, steps: dict[str, tuple[str, ...]]) -> None:
        """`steps` maps each step to the reasons it may give, so that a reason nobody met is shown as 0."""
        self._reasons = steps
        self._lines: dict[tuple[str, str], Line] = {}

    def line(self, step: str, split: str) -> Line:
        key = (step, split)
        if key not in self._lines:
            self._lines[key] = Line(reasons=dict.fromkeys(self._reasons[step], 0))
        return self._lines[key]

    def said(self, step: str, split: str, action: str, reasons: dict[str, int]) -> None:
        """Count verdicts; `action` is reject, flag or note."""
        line = self.line(step, split)
        target = {"reject": line.reasons, "flag": line.flags, "note": line.notes}[action]
        add(target, reasons)

    def manifest(self) -> list[dict[str, Any]]:
        """The manifest's `steps`, by step and then by split."""
        order = {name: i for i, name in enumerate(self._reasons)}
        lines = sorted(self._lines.items(), key=lambda item: (order[item[0][0]], SPLITS.index(item[0][1])))
        return [
            {
                "step": step,
                "split": split,
                "in": line.rows_in,
                "out": line.rows_out,
                "reasons": line.reasons,
                "flags": dict(sorted(line.flags.items())),
                "notes": dict(sorted(line.notes.items())),
                "changes": dict(sorted(line.changes.items())),
                **({"moved": line.moved} if line.moved else {}),
            }
            for (step, split), line in lines
        ]


def add(total: dict[str, int], more: dict[str, int]) -> None:
    """Add counts to counts."""
    for name, n in more.items():
        total[name] = total.get(name, 0) + n
