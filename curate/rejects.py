"""Rejected rows on their way to rejected.jsonl: their record, the reason, and the row that stands for them."""

from __future__ import annotations

from curate.lazy import pl
from curate.run import Output
from curate.steps import STEPS
from curate.types import File, ReadReject

_MISSING = "null"
_CHOICES = [name for name, step in STEPS.items() if step.choice]


def encode_records(rows: pl.DataFrame, fields: list[str]) -> pl.Expr:
    """Each row's fields as one JSON object (a string column)."""
    return pl.struct(fields).struct.json_encode()


def from_reading(rejects: list[ReadReject], file: File) -> pl.DataFrame:
    """Rows that could not be read, with their raw text, file and line."""
    frame = pl.DataFrame(
        {
            "rid": pl.Series([r.rid for r in rejects], dtype=pl.UInt64),
            "reason": pl.Series([r.reason for r in rejects], dtype=pl.String),
            "raw": pl.Series([r.raw for r in rejects], dtype=pl.String),
            "line": pl.Series([r.line for r in rejects], dtype=pl.Int64),
        }
    ).with_columns(file=pl.lit(file.name))
    return frame.select(
        "rid",
        split=pl.lit(file.split),
        step=pl.lit("read"),
        reason="reason",
        kept=pl.lit(None, dtype=pl.UInt64),
        score=pl.lit(None, dtype=pl.Float64),
        fields=pl.struct("raw", "file", "line").struct.json_encode(),
    )


def from_verdicts(
    rows: pl.DataFrame, said: pl.DataFrame, step: str | pl.Expr, split: str | pl.Expr, fields: list[str]
) -> pl.DataFrame:
    """Rejects of a step with the records they had at that point. `said` has rid, reason, kept, score."""
    # A record may have a field `score` of its own (LCSTS).
    said = said.rename({"score": "verdict_score"})
    step = pl.lit(step) if isinstance(step, str) else step
    return rows.join(said, on="rid", maintain_order="left").select(
        "rid",
        split=pl.lit(split) if isinstance(split, str) else split,
        step=step,
        reason="reason",
        kept="kept",
        score="verdict_score",
        # A row that was merely not chosen (cap) says so without its text: nothing is wrong with it.
        fields=pl.when(step.is_in(_CHOICES)).then(pl.lit(_MISSING)).otherwise(encode_records(rows, fields)),
    )


def resolve_kept(rejects: pl.DataFrame) -> pl.DataFrame:
    """`rid`, `kept` of judgement rejects, `kept` null where the row it names was itself rejected for good.

    A kept row may have been rejected by a later judgement in favour of a third one; as long as the chain ends at
    a row that stays, the link is left as it is, so that each step's own reason can be followed.
    """
    links = rejects.filter(pl.col("kept").is_not_null()).select("rid", "kept")
    ends = links.with_columns(end=pl.col("kept"))
    following = rejects.select(end="rid", following="kept")
    while True:
        step = ends.join(following.with_columns(rejected=pl.lit(True)), on="end", how="left")
        moved = step.filter(pl.col("rejected").is_not_null())
        if not len(moved):
            break
        ends = step.with_columns(
            end=pl.when(pl.col("rejected").is_not_null()).then(pl.col("following")).otherwise(pl.col("end"))
        ).select("rid", "kept", "end")
        if not moved["following"].is_not_null().any():
            break
    return ends.select("rid", kept=pl.when(pl.col("end").is_null()).then(None).otherwise(pl.col("kept")))


def write_rejects(frame: pl.DataFrame, prefixes: dict[int, str], stream: Output) -> int:
    """Write rows of rejects as JSON lines in the order of their rids; returns the bytes written."""
    if not len(frame):
        return 0
    head = pl.struct(
        id=printed_id(pl.col("rid"), prefixes),
        split="split",
        step="step",
        reason="reason",
        kept_id=printed_id(pl.col("kept"), prefixes),
        score="score",
    ).struct.json_encode()
    lines = frame.sort("rid").select(
        pl.concat_str(head.str.head(-1), pl.lit(',"fields":'), pl.col("fields"), pl.lit("}\n"))
    )
    return stream.write("".join(lines.to_series().to_list()).encode())


def printed_id(rid: pl.Expr, prefixes: dict[int, str]) -> pl.Expr:
    """`recipe/split/000000017`; null stays null."""
    prefix = (rid // (1 << 40)).replace_strict(prefixes, default=None, return_dtype=pl.String)
    return pl.concat_str(prefix, pl.lit("/"), (rid % (1 << 40)).cast(pl.String).str.pad_start(9, "0"))
