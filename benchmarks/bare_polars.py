"""The yardstick: a bare polars script that reads the same TSVs, drops exact duplicates and writes instruction JSONL.

    python benchmarks/bare_polars.py OUT TRAIN.tsv DEV.txt

It checks nothing, counts nothing and keeps no rejects. It is told the files' layouts: train has a header, dev none.
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl


def main(out: str, *files: str) -> None:
    Path(out).mkdir(parents=True, exist_ok=True)
    for i, file in enumerate(files):
        frame = pl.read_csv(
            file,
            separator="\t",
            quote_char=None,
            has_header=i == 0,
            new_columns=["a", "b", "label"],
            infer_schema=False,
        )
        frame.unique(maintain_order=True).select(
            instruction=pl.lit("判断下面两个句子的意思是否相同，回答“相同”或“不同”。"),
            input=pl.format("句子一：{}\n句子二：{}", "a", "b"),
            output=pl.when(pl.col("label") == "1").then(pl.lit("相同")).otherwise(pl.lit("不同")),
        ).write_ndjson(Path(out) / f"{i}.jsonl")


if __name__ == "__main__":
    main(*sys.argv[1:])
