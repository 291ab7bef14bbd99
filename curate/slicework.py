"""One slice on its way through local steps: the only place where a local step's verdicts are carried out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from curate.lazy import pl
from curate.rejects import from_verdicts
from curate.steps import Context
from curate.tally import Line, Tally, add


class SliceWork:
    """The rows of a slice, and everything that was said of them: rejects, flags, counts, words.

    A slice has a tally of its own, so that slices can be worked on side by side and added up in their order.
    """

    def __init__(
        self,
        rows: pl.DataFrame,
        split: str,
        context: Context,
        veil: Callable[[pl.DataFrame], pl.DataFrame] | None = None,
    ) -> None:
        self.rows = rows
        self.split = split
        self.tally = Tally()
        self.derived = 0
        self.rejects: list[pl.DataFrame] = []
        self.flags: list[pl.DataFrame] = []
        self.words: list[tuple[pl.DataFrame, dict[str, int]]] = []
        self._context = replace(context, split=split)
        self._veil = veil

    def run(self, use: Any) -> None:
        """Carry out one local step (a `StepUse`)."""
        outcome = use.step.module.run(self.rows, use.options, self._context)
        line = self.tally.line(use.name, self.split)
        self.derive(line, len(outcome.rows) - len(self.rows))
        self.rows = outcome.rows
        add(line.changes, outcome.counts)
        if outcome.tokens is not None:
            line.tokens = outcome.tokens
        if outcome.words is not None:
            self.words.append((outcome.words, outcome.counts))
        self.act(use.name, use.step.binding, outcome.verdicts)

    def derive(self, line: Line, more: int) -> None:
        """Count rows that a step made of others (or, negative, that went with one): `act` finds them there already."""
        line.moved += more
        line.rows_in -= more
        self.derived += more

    def act(self, step: str, binding: bool, said: pl.DataFrame | None, line: str | None = None) -> None:
        """Carry out verdicts; `line` is the tally's line where it has another name than the step."""
        line = line or step
        self.tally.line(line, self.split).rows_in += len(self.rows)
        if said is None or not len(said):
            return
        said = soften(said, binding, self.split)
        count_verdicts(self.tally, line, self.split, said)
        self.flags.append(flag_texts(step, said))
        rejected = said.filter(pl.col("action") == "reject")
        if not len(rejected):
            return
        fields = list(self._context.task.fields)
        told = rejected.select("rid", "reason", "kept", "score")
        shown = self.rows
        if self._veil is not None:  # redact_pii may come later: what is rejected before it must not show more
            shown = self._veil(shown.join(told, on="rid", how="semi", maintain_order="left"))
        self.rejects.append(from_verdicts(shown, told, step, self.split, fields))
        self.rows = self.rows.join(rejected, on="rid", how="anti", maintain_order="left")


def soften(said: pl.DataFrame, binding: bool, split: str) -> pl.DataFrame:
    """On evaluation splits a reject is a flag, unless the step defines the split or judges form."""
    if binding or split == "train":
        return said
    action = pl.when(pl.col("action") == "reject").then(pl.lit("flag")).otherwise(pl.col("action"))
    return said.with_columns(action.alias("action"))


def count_verdicts(tally: Tally, step: str, split: str, said: pl.DataFrame) -> None:
    """Add verdicts to the funnel."""
    for action, reason, n in said.group_by("action", "reason").len().sort("action", "reason").iter_rows():
        if action in ("reject", "flag", "note"):
            tally.said(step, split, action, {reason: n})


def flag_texts(step: str, said: pl.DataFrame) -> pl.DataFrame:
    """`rid`, `flag` (`step:reason`) of the verdicts that flag."""
    flagged = said.filter(pl.col("action") == "flag").sort("rid", "reason")
    return flagged.select("rid", flag=pl.lit(f"{step}:") + pl.col("reason"))


def no_flags() -> pl.DataFrame:
    """No flags, as `flag_texts` would give them."""
    return pl.DataFrame(schema={"rid": pl.UInt64, "flag": pl.String})
