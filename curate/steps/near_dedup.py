"""near_dedup: nearly the same text twice in one split."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from curate.lazy import pl
from curate.near import NUMBER, Rule, near_groups, rules_of
from curate.steps import Context, verdicts
from curate.tasks import Task
from curate.text.hashing import combine
from curate.text.keys import TURN, group_hash, key_column, key_text, within_split
from curate.text.minhash import banding


def number_or(word: str, least: float, most: float, whole: bool = False) -> BeforeValidator:
    """A word, or a number in these bounds: said in one error, where pydantic has one for each kind of value."""

    def check(value: Any) -> Any:
        number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        if value is None or value == word or (number and least <= value <= most):
            return value
        kind = "a whole number" if whole else "a number"
        raise ValueError(f"must be {word} or {kind} from {least} to {most} (given: {str(value)[:40]!r})")

    return BeforeValidator(check)


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    threshold: Annotated[float | Literal["off"] | None, number_or("off", 0.5, 1)] = Field(
        default=None,
        description="least Jaccard similarity of the n-gram sets, 0.5 to 1, or off; default: 0.8, pairs 0.9",
    )
    ngram: Annotated[int | Literal["auto"], number_or("auto", 1, 16, whole=True)] = Field(
        default="auto",
        description="characters an n-gram; auto: 2 in texts of 16 to 60 characters, 3 up to 200, 5 beyond",
    )
    short: Literal["exact", "edit1"] = Field(
        default="exact",
        description="texts under 16 characters (ngram: auto): only the same key, or also one edit apart",
    )
    digits: Literal["count", "ignore"] = Field(
        default="count",
        description="count: texts with other numbers are not the same; ignore: one number is like another",
    )
    within: Literal["label"] | None = Field(
        default=None, description="label: rows of one label only, as pairs are always compared"
    )


def columns(options: Options, task: Task) -> set[str]:
    if options.threshold == "off":
        return set()
    return {key_column(field, "key") for field in (*task.leak_key, *fixed_fields(task))}


def texts(options: Options, task: Task) -> frozenset[str]:
    """The fields whose comparison keys it reads as texts."""
    return frozenset(() if options.threshold == "off" else task.leak_key)


def fixed_fields(task: Task) -> list[str]:
    """The fields that must be the same: of one passage every question stays, of one text every target."""
    return [name for name in (*task.key, "target") if name in task.fields and name not in task.leak_key]


def kept_apart(task: Task, within: str | None) -> pl.Expr:
    """One u64 for what must be the same in two rows that may be alike: those fields, and the label where it counts."""
    parts = [pl.col(key_column(field, "key")).fill_null(0) for field in fixed_fields(task)]
    if task.has_labels and (within == "label" or task.name == "pair"):
        parts.append(pl.col("label").to_physical().cast(pl.UInt64).fill_null(2**32))
    return combine(pl.lit(0, pl.UInt64), *parts)


def threshold_of(options: Options, task: Task) -> float:
    """The threshold of a step that is not off."""
    return float(options.threshold or (0.9 if task.name == "pair" else 0.8))


def rules(options: Options, task: Task) -> tuple[Rule, ...]:
    return rules_of(threshold_of(options, task), options.ngram, options.short)


def figures(options: Options, task: Task) -> dict[str, Any]:
    """What the card says of how texts were compared."""
    used = rules(options, task)
    bands = [dict(zip(("bands", "hashes"), banding(rule.threshold), strict=True)) if rule.n else {} for rule in used]
    classes = [
        {"from": rule.least, "to": rule.most, "ngram": rule.n, **({"edit": 1} if rule.edit else {}), **more}
        for rule, more in zip(used, bands, strict=True)
    ]
    return {"threshold": threshold_of(options, task), "digits": options.digits, "classes": classes}


def judge(
    keys: pl.DataFrame,
    options: Options,
    context: Context,
    records: Callable[[pl.Series], Iterator[pl.DataFrame]],
) -> pl.DataFrame:
    """Keep the smallest rid of each cluster within its split; its similarity to the others is their score.

    A cluster is a connected component of rows whose similarity is at least the threshold, each pair verified on the
    texts. `records(rids)` gives the records of these rows, in the order of `keys`. `same_key`: the text of the kept
    row up to case and punctuation; `near_text`: nearly.
    """
    if options.threshold == "off":
        return verdicts(keys.clear())
    task = context.task
    text = group_hash(task.leak_key, "key", task.symmetric).fill_null(0)
    rows = keys.select("rid", "split", text=text, apart=kept_apart(task, options.within))
    rows = rows.select("rid", group=within_split(pl.col("apart")), text="text")
    rows = rows.with_columns(unit=combine(pl.col("text"), pl.col("group")))
    firsts = rows.filter(pl.col("unit").is_first_distinct())

    def read(rids: pl.Series) -> Iterator[Callable[[], pl.Series]]:
        for frame in records(rids):
            yield lambda frame=frame: compared(frame, task, options.digits)

    count = options.digits == "count"
    found = near_groups(firsts["rid"], firsts["group"], read, rules(options, task), count, context.workers)
    placed = firsts.with_columns(node=found.node, cluster=found.cluster)
    if len(firsts) < len(rows):
        placed = rows.join(placed.select("unit", "node", "cluster"), on="unit")
    clustered = placed.filter(pl.col("cluster").is_duplicated()).with_columns(kept=pl.col("rid").min().over("cluster"))
    survivors = clustered.filter(pl.col("rid") == pl.col("kept")).select("kept", kept_node="node")
    others = clustered.filter(pl.col("rid") != pl.col("kept")).join(survivors, on="kept")
    scores = found.similarity(others.select("node", "kept_node").unique())
    others = others.join(scores, on=["node", "kept_node"], how="left")
    reason = pl.when(pl.col("node") == pl.col("kept_node")).then(pl.lit("same_key")).otherwise(pl.lit("near_text"))
    said = verdicts(others, reason=reason, kept=pl.col("kept"))
    return said.with_columns(score=others["similarity"])


def compared(rows: pl.DataFrame, task: Task, digits: str, fields: Sequence[str] = ()) -> pl.Series:
    """The text of each row that is compared: comparison keys, the sides of a pair in an order of their own.

    Sides and utterances are joined by `TURN`, which counts as a character. `fields`: those of the leak key.
    """
    parts = []
    for field in fields or task.leak_key:
        keys = rows[key_text(field)].fill_null("")
        parts.append((keys.str.replace_all(NUMBER, "0") if digits == "ignore" else keys).alias(field))
    if len(parts) == 1:
        return parts[0]
    if len(parts) > 2 or not task.symmetric:
        return pl.DataFrame(parts).select(pl.concat_str(parts, separator=TURN)).to_series()
    one, other = (pl.col(part.name) for part in parts)
    first = one <= other
    sides = [pl.when(first).then(one).otherwise(other), pl.when(first).then(other).otherwise(one)]
    return pl.DataFrame(parts).select(pl.concat_str(sides, separator=TURN)).to_series()
