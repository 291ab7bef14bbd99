"""The clusters of a run that looked for near-duplicates: which row stands for which others, and how alike they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from curate.lazy import pl
from curate.rejects import printed_id
from curate.types import SPLITS

FILE = "clusters.parquet"


@dataclass(frozen=True)
class Clusters:
    """Every row of a cluster of two or more: `rid`, `split`, `cluster` (the rid of the row that stays), `similarity`
    to it, and whether the row was `removed` for it (rows of evaluation splits are not). `figures` go into the card."""

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
            removed="removed",
        )


def find_clusters(said: pl.DataFrame, rejects: pl.DataFrame, figures: dict[str, Any]) -> Clusters:
    """The clusters by near_dedup's verdicts (`said`, with `split`) and by the rejects of all steps, exact copies among
    them: a copy of a row that was itself removed belongs to the row which that one was removed for."""
    named = ["rid", "split", "kept", "score"]
    near = said.select(*named, removed=pl.col("action") == "reject")
    copies = rejects.filter(pl.col("step") == "exact_dedup", pl.col("kept").is_not_null())
    exact = copies.select("rid", pl.lit("train").cast(pl.Enum(list(SPLITS))).alias("split"), "kept")
    exact = exact.with_columns(score=pl.lit(1.0), removed=pl.lit(True))
    links = pl.concat([near, exact]).rename({"kept": "cluster", "score": "similarity"})
    following = links.select(cluster="rid", further="cluster", less="similarity")
    while len(links.join(following, on="cluster", how="semi")):
        step = links.join(following, on="cluster", how="left")
        links = step.select(
            "rid",
            "split",
            cluster=pl.coalesce("further", "cluster"),
            similarity=pl.min_horizontal("similarity", "less"),
            removed="removed",
        )
    kept = links.select(rid="cluster", split="split", cluster="cluster").unique("rid")
    kept = kept.with_columns(similarity=pl.lit(1.0), removed=pl.lit(False))
    return Clusters(pl.concat([links, kept]), {**figures, "splits": _by_split(near, links)})


def _by_split(near: pl.DataFrame, links: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """Per split: rows that near_dedup found to be repeats, their clusters, the largest, the weakest likeness."""
    table = {}
    for split in SPLITS:
        found = near.filter(pl.col("split") == split)
        if not len(found):
            continue
        here = links.filter(pl.col("split") == split).join(found.select(cluster="kept"), on="cluster", how="semi")
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
