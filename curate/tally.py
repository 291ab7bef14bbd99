"""The funnel: for every step and split, how many rows came in, went out, and why the others did not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from curate.types import SPLITS

if TYPE_CHECKING:
    from curate.text.tokens import Lengths

#: The second line of step `format`: rows whose template failed are found while samples are written, after the others.
RENDERING = "format (rendering)"


@dataclass
class Line:
    """One step on one split. `moved`: rows that `split` took away (negative) or brought, or that `chunk` made;
    `tokens`: how long the samples are, where the step measured them."""

    rows_in: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    flags: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    changes: dict[str, int] = field(default_factory=dict)
    moved: int = 0
    tokens: Lengths | None = None

    @property
    def rows_out(self) -> int:
        return self.rows_in - sum(self.reasons.values()) + self.moved


class Tally:
    """The lines of a run, or of one slice of it."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str], Line] = {}

    def line(self, step: str, split: str) -> Line:
        return self._lines.setdefault((step, split), Line())

    def merge(self, other: Tally) -> None:
        """Add another tally's counts."""
        for (step, split), more in other._lines.items():
            line = self.line(step, split)
            line.rows_in += more.rows_in
            line.moved += more.moved
            if more.tokens is not None:
                line.tokens = more.tokens if line.tokens is None else line.tokens + more.tokens
            for name in ("reasons", "flags", "notes", "changes"):
                add(getattr(line, name), getattr(more, name))

    def lines(self) -> list[Any]:
        """Everything of a tally but lengths in tokens (no step counts those before the writing pass), for JSON."""
        told = [
            (key, {name: value for name, value in vars(line).items() if name != "tokens"})
            for key, line in self._lines.items()
        ]
        return [[*key, line] for key, line in told]

    @classmethod
    def of(cls, lines: list[Any]) -> Tally:
        """The tally of which `lines` tells."""
        tally = cls()
        tally._lines = {(step, split): Line(**line) for step, split, line in lines}
        return tally

    def changes(self) -> bool:
        """Whether any step changed anything."""
        return any(any(line.changes.values()) for line in self._lines.values())

    def said(self, step: str, split: str, action: str, reasons: dict[str, int]) -> None:
        """Count verdicts; `action` is reject, flag or note."""
        line = self.line(step, split)
        target = {"reject": line.reasons, "flag": line.flags, "note": line.notes}[action]
        add(target, reasons)

    def manifest(self, steps: dict[str, tuple[str, ...]]) -> list[dict[str, Any]]:
        """The manifest's `steps`, by step and then by split.

        `steps` maps each step, in order, to the reasons it may give, so that a reason nobody met is shown as 0.
        `format` stands a second time, at the end, where a template failed.
        """
        order = {name: i for i, name in enumerate(steps)}
        lines = sorted(self._lines.items(), key=lambda item: (order[item[0][0]], SPLITS.index(item[0][1])))
        return [
            {
                "step": "format" if step == RENDERING else step,
                "split": split,
                "in": line.rows_in,
                "out": line.rows_out,
                "reasons": {**dict.fromkeys(steps[step], 0), **dict(sorted(line.reasons.items()))},
                "flags": dict(sorted(line.flags.items())),
                "notes": dict(sorted(line.notes.items())),
                "changes": dict(sorted(line.changes.items())),
                **({"moved": line.moved} if line.moved else {}),
                **({"tokens": line.tokens.figures()} if line.tokens is not None else {}),
            }
            for (step, split), line in lines
            if step != RENDERING or line.reasons
        ]


def add(total: dict[str, int], more: dict[str, int]) -> None:
    """Add counts to counts."""
    for name, n in more.items():
        total[name] = total.get(name, 0) + n
