"""Which rows of train a mixture takes: each part's number of rows, and those whose id hashes smallest."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from curate.lazy import pl
from curate.mixture.across import count_in
from curate.mixture.file import Mixture
from curate.mixture.parts import Part
from curate.shares import allocate, largest_total, shares, weights_by_size
from curate.tally import Tally
from curate.text.hashing import mix, seed_of
from curate.types import UserError


@dataclass
class Chosen:
    """For each part by name: its asked share, the different rows on offer, and how many rows are written.

    `copies` has rid and copies of every row that is left; 0 is a row that was not chosen.
    """

    asked: dict[str, Fraction]
    available: dict[str, int]
    rows: dict[str, int]
    copies: pl.DataFrame

    @property
    def total(self) -> int:
        return sum(self.rows.values())

    def repeats(self, name: str) -> int:
        """Copies after the first of a part's rows."""
        return max(0, self.rows[name] - self.available[name])


def choose(mixture: Mixture, parts: list[Part], rows: pl.DataFrame, seed: int, tally: Tally) -> Chosen:
    """Choose among `rows`, those that the judgements left; evaluation rows are taken whole."""
    count_in(tally, "choose", rows)
    train = rows.filter(pl.col("split") == "train")
    counted = dict(train["part"].value_counts().iter_rows())
    available = {part.name: min(counted.get(part.number, 0), part.options.cap or 1 << 62) for part in parts}
    asked, given = _numbers(mixture, available)
    numbers = pl.DataFrame(
        {"part": [part.number for part in parts], "n": list(given.values()), "of": list(available.values())},
        schema={"part": pl.UInt16, "n": pl.Int64, "of": pl.Int64},
    )
    order = mix(pl.col("id") + pl.lit(seed_of("mixture", seed), pl.UInt64))
    ranked = train.select("rid", "part", order=order).select(
        "rid", "part", rank=pl.struct("order", "rid").rank("ordinal").over("part").cast(pl.Int64)
    )
    times = pl.col("n") // pl.col("of") + (pl.col("rank") <= pl.col("n") % pl.col("of")).cast(pl.Int64)
    some = pl.when(pl.col("rank") <= pl.col("of")).then(times).otherwise(0).alias("copies")
    copies = ranked.join(numbers, on="part", maintain_order="left").select("rid", some.cast(pl.UInt32))
    others = rows.filter(pl.col("split") != "train").select("rid", pl.lit(1, pl.UInt32).alias("copies"))
    chosen = Chosen(asked, available, given, pl.concat([copies, others]))
    if len(train):
        tally.said("choose", "train", "reject", {"not_chosen": int((copies["copies"] == 0).sum())})
        tally.line("choose", "train").moved = sum(map(chosen.repeats, given))
    return chosen


def _numbers(mixture: Mixture, available: dict[str, int]) -> tuple[dict[str, Fraction], dict[str, int]]:
    """The asked share and the number of rows of each part."""
    fields = mixture.fields
    if mixture.weighted:
        weights = {name: Fraction(part.weight or 0) for name, part in mixture.parts.items()}
        if lacking := [name for name, weight in weights.items() if weight and not available[name]]:
            what = "has no row of train to give; 'weight: 0' takes its evaluation rows only"
            raise UserError(*(f"part {name}: {what}" for name in lacking))
    elif fields.temperature is not None:
        weights = weights_by_size(available, fields.temperature)
        if fields.total and not any(weights.values()):
            raise UserError(f"{mixture.name}: no part has a row of train, so 'total: {fields.total}' can't be made")
    else:
        return shares(weights_by_size(available, 1)), dict(available)
    asked = shares(weights)
    return asked, allocate(fields.total or largest_total(available, asked), asked)
