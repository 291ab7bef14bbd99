"""The clusters of a run that looked for near-duplicates: which row stands for which others, and how alike they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from curate.lazy import pl
from curate.rejects import printed_id
from curate.types import SPLITS

FILE = "clusters.parquet"
#: The steps that make clusters, and the part of the card that tells of each.
CARD = {"near_dedup": "near", "semantic_dedup": "semantic"}


@dataclass(frozen=True)
class Clusters:
    """Every row of a cluster of two or more: `rid`, `split`, `cluster` (the rid of the row that stays), `similarity`
    to it (the least on the way, where it goes by way of another row), the `step` that found it, and whether the row
    was `removed` for it (rows of evaluation splits are not). `figures` go into the card, by the names in `CARD`."""

    rows: pl.DataFrame
    figures: dict[str, Any]

    def sizes(self) -> pl.DataFrame:
        """`rid`, `cluster_size` of the rows that stand for others: these and the row itself, exact copies included."""
        removed = self.rows.filter("removed").group_by("cluster").len()
        return removed.select(rid="cluster", cluster_size=pl.col("len").cast(pl.Int64) + 1)

    def table(self, prefixes: dict[int, str]) -> pl.DataFrame:
        """The table of clusters.parquet, cluster by cluster in the order of the rows that stay."""
        return self.rows.sort("cluster", "rid").select(
            cluster=printed_id(pl.col("cluster"), prefixes),
            id=printed_id(pl.col("rid"), prefixes),
            split=pl.col("split").cast(pl.String),
            similarity="similarity",
            step="step",
            removed="removed",
        )


def find_clusters(
    said: dict[str, pl.DataFrame], rejects: pl.DataFrame, figures: dict[str, dict[str, Any]]
) -> Clusters:
    """The clusters by the verdicts of the steps in `CARD` (`said`, with `split`, in recipe order) and by the rejects
    of exact_dedup: a copy of a row that was itself removed belongs to the row which that one was removed for.

    An evaluation row is removed by none of them, and may be found by two: it belongs where the first one has it.
    """
    exact = rejects.filter(pl.col("step") == "exact_dedup", pl.col("kept").is_not_null())
    split = pl.lit("train").cast(pl.Enum(list(SPLITS))).alias("split")
    copies = exact.select("rid", split, cluster="kept", similarity=pl.lit(1.0), step="step", removed=pl.lit(True))
    direct, links, told = [copies], copies, {}
    for step, found in said.items():
        found = found.filter(pl.col("kept").is_not_null()).select(
            "rid",
            "split",
            cluster="kept",
            similarity="score",
            step=pl.lit(step),
            removed=pl.col("action") == "reject",
        )
        direct.append(found.join(links, on="rid", how="anti", maintain_order="left"))
        links = _followed(pl.concat(direct))
        told[CARD[step]] = {**figures[step], "splits": _by_split(found, links)}
    kept = links.select(rid="cluster", split="split", cluster="cluster").unique("rid")
    kept = kept.with_columns(similarity=pl.lit(1.0), step=pl.lit(""), removed=pl.lit(False))
    return Clusters(pl.concat([links, kept]), told)


def _followed(links: pl.DataFrame) -> pl.DataFrame:
    """The links, each to the row at the end of its chain."""
    following = links.select(cluster="rid", further="cluster", less="similarity")
    while len(links.join(following, on="cluster", how="semi")):
        further = links.join(following, on="cluster", how="left")
        links = further.select(
            "rid",
            "split",
            cluster=pl.coalesce("further", "cluster"),
            similarity=pl.min_horizontal("similarity", "less"),
            step="step",
            removed="removed",
        )
    return links


def _by_split(near: pl.DataFrame, links: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """Per split: rows that a step found to be repeats, their clusters, the largest, the weakest likeness."""
    table = {}
    for split in SPLITS:
        found = near.filter(pl.col("split") == split)
        if not len(found):
            continue
        theirs = links.join(found, on="rid", how="semi").select("cluster")
        here = links.filter(pl.col("split") == split).join(theirs, on="cluster", how="semi")
        clusters = here.group_by("cluster").agg(rows=pl.len() + 1, weakest=pl.col("similarity").min())
        largest = clusters.sort("rows", "cluster", descending=[True, False]).row(0, named=True)
        table[split] = {
            "rows": len(found),
            "clusters": len(clusters),
            "largest": largest["rows"],
            "weakest_of_largest": round(largest["weakest"], 4),
            "weakest": round(clusters.select(pl.col("weakest").min()).item(), 4),
        }
    return table
