"""semantic_dedup: the same meaning twice in one split, by a static embedding model of one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from curate.lazy import pl
from curate.near import NUMBER
from curate.steps import Context, verdicts
from curate.steps.near_dedup import fixed_fields, kept_apart
from curate.tasks import Task
from curate.text.hashing import combine, hash_series
from curate.text.keys import key_column, key_text, within_split


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    model: str = Field(min_length=1, description="a folder with a model2vec model; none is ever fetched")
    # The default of SemHash's self_deduplicate, whose models these are.
    threshold: float = Field(
        default=0.9, ge=0.5, le=1, description="least cosine of two texts' vectors, 0.5 to 1; default: SemHash's 0.9"
    )
    within: Literal["label"] | None = Field(
        default=None, description="label: rows of one label only, as pairs are always compared"
    )


def columns(options: Options, task: Task) -> set[str]:
    return {key_column(field, "key") for field in fixed_fields(task)}


def texts(options: Options, task: Task) -> frozenset[str]:
    """The fields whose comparison keys it reads, for the numbers in them."""
    return frozenset(task.leak_key)


def figures(options: Options, task: Task) -> dict[str, Any]:
    """What the card says of how texts were compared."""
    return {"threshold": options.threshold}


def judge(
    keys: pl.DataFrame,
    options: Options,
    context: Context,
    records: Callable[[pl.Series], Iterator[pl.DataFrame]],
) -> pl.DataFrame:
    """Keep the smallest rid of each cluster within its split; its cosine with the others is their score.

    A cluster is a connected component of rows whose cosine is at least the threshold. A pair is alike where both its
    sides are, in either order; a dialogue is one text. Texts with other numbers are never alike: a model that looks
    at meaning takes 3元 for 5元. `no_known_word` (a note): the model knows no token of a text, which is like no other.
    """
    import numpy as np

    from curate.semantic import Alike

    task = context.task
    rows = keys.select("rid", "split", apart=kept_apart(task, options.within))
    rows = rows.select("rid", group=within_split(pl.col("apart")))
    vectors, hashes, told = _embedded(records(rows["rid"]), options, task)
    rows = rows.join(told, on="rid", maintain_order="left")
    # Rows of the same texts are one node; nodes are numbered by their texts, so which row came first plays no part.
    rows = rows.with_columns(group=combine(pl.col("group"), pl.col("numbers")))
    rows = rows.with_columns(unit=combine(pl.col("group"), *map(pl.col, task.leak_key)))
    nodes = rows.unique("unit").sort("unit").with_row_index("node")
    sides = np.stack([np.searchsorted(hashes, nodes[field].to_numpy()) for field in task.leak_key], axis=1)
    alike = Alike(vectors, sides, options.threshold)
    nodes = nodes.with_columns(
        cluster=pl.Series(alike.clusters(nodes["group"].to_numpy()), dtype=pl.UInt32),
        known=pl.Series(alike.known()),
    )
    placed = rows.join(nodes.select("unit", "node", "cluster", "known"), on="unit", maintain_order="left")
    unknown = verdicts(placed.filter(~pl.col("known")), action="note", reason="no_known_word")
    clustered = placed.filter("known").with_columns(kept=pl.col("rid").min().over("cluster"))
    survivors = clustered.filter(pl.col("rid") == pl.col("kept")).select("kept", kept_node="node")
    others = clustered.filter(pl.col("rid") != pl.col("kept")).join(survivors, on="kept")
    pairs = others.select("node", "kept_node").unique(maintain_order=True)
    i, j = (pairs[name].to_numpy().astype(np.int64) for name in ("node", "kept_node"))
    pairs = pairs.with_columns(score=np.where(i == j, 1.0, alike.similarity(i, j)))
    others = others.join(pairs, on=["node", "kept_node"], how="left")
    said = verdicts(others, reason="same_meaning", kept=pl.col("kept")).with_columns(score=others["score"])
    return pl.concat([said, unknown])


def _embedded(frames: Iterator[pl.DataFrame], options: Options, task: Task) -> tuple[Any, Any, pl.DataFrame]:
    """The vectors of all texts and the texts' hashes, sorted; and each row's `rid`, hash by field, and `numbers`."""
    import numpy as np

    from curate.semantic_model import load_model

    model = load_model(options.model)
    known = np.empty(0, np.uint64)
    hashes, vectors, told = [known], [np.empty((0, model.dim), np.float32)], []
    for frame in frames:
        columns = {field: _text(frame[field]) for field in task.leak_key}
        hashed = {field: hash_series(column) for field, column in columns.items()}
        for field, column in columns.items():
            found, first = np.unique(hashed[field].to_numpy(), return_index=True)
            new = ~np.isin(found, known)
            hashes.append(found[new])
            vectors.append(model.vectors(column.gather(first[new]).to_list()))
            known = np.union1d(known, found[new])
        told.append(pl.DataFrame({"rid": frame["rid"], **hashed, "numbers": _numbers(frame, task)}))
    every = np.concatenate(hashes)
    order = np.argsort(every)
    schema = {"rid": pl.UInt64, **dict.fromkeys(task.leak_key, pl.UInt64), "numbers": pl.UInt64}
    return np.concatenate(vectors)[order], every[order], pl.concat([pl.DataFrame(schema=schema), *told])


def _text(column: pl.Series) -> pl.Series:
    """A field as one text, its items joined by line ends."""
    if column.dtype == pl.List(pl.String):
        column = column.list.join("\n", ignore_nulls=True)
    return column.fill_null("")


def _numbers(frame: pl.DataFrame, task: Task) -> pl.Series:
    """The numbers in a row's comparison keys as one hash; those of a pair's sides in whichever order."""
    sides = [
        hash_series(frame[key_text(field)].fill_null("").str.extract_all(NUMBER).list.join(" "))
        for field in task.leak_key
    ]
    named = pl.DataFrame([side.alias(field) for side, field in zip(sides, task.leak_key, strict=True)])
    if len(sides) == 1:
        return named.to_series()
    named = named.select(least=pl.min_horizontal(task.leak_key), most=pl.max_horizontal(task.leak_key))
    return named.select(combine(pl.col("least"), pl.col("most"))).to_series()
