"""locate_answer: every answer's place in its context, found again after the text was cleaned."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from curate.lazy import pl
from curate.steps import Context, Outcome, verdicts


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")


def run(rows: pl.DataFrame, options: Options, context: Context) -> Outcome:
    """Mend `answer_starts` (characters, −1 = not in the context) and judge rows by them.

    A row none of whose answers stands in its context is rejected; one that has others is flagged.
    The sample's output is the first answer that does stand in the context.
    """
    counts = {"offsets_right": 0, "offsets_added": 0, "offsets_mended": 0, "answers_not_found": 0}
    starts: list[list[int]] = []
    none, some = [], []
    columns = (rows[name].to_list() for name in ("rid", "context", "answers", "answer_starts"))
    for rid, text, answers, given in zip(*columns, strict=True):
        told_starts = [*(given or []), *[-1] * len(answers)][: len(answers)]
        found = [locate(text or "", answer, told) for answer, told in zip(answers, told_starts, strict=True)]
        starts.append(found)
        for start, told in zip(found, told_starts, strict=True):
            counts[_kind(start, told)] += 1
        missing = sum(start < 0 for start in found)
        if missing:
            (none if missing == len(found) else some).append(rid)
    out = rows.with_columns(pl.Series("answer_starts", starts, dtype=pl.List(pl.Int64)))
    said = [
        verdicts(_rids(none), reason="answer_not_in_context"),
        verdicts(_rids(some), action="flag", reason="some_answers_not_in_context"),
    ]
    return Outcome(out, pl.concat(said), counts)


def _rids(values: list[int]) -> pl.DataFrame:
    return pl.DataFrame({"rid": pl.Series(values, dtype=pl.UInt64)})


def _kind(start: int, told: int) -> str:
    if start < 0:
        return "answers_not_found"
    if told < 0:
        return "offsets_added"
    return "offsets_right" if start == told else "offsets_mended"


def locate(context: str, answer: str, told: int) -> int:
    """The answer's start in characters: where it was told to be, else the occurrence nearest to that, else −1."""
    if not answer:
        return -1
    if told >= 0 and context.startswith(answer, told):
        return told
    before = context.rfind(answer, 0, max(told, 0) + len(answer))
    after = context.find(answer, max(told, 0))
    if before < 0 or after < 0:
        return max(before, after)
    return before if told - before <= after - told else after
