"""Recipes for Chinese corpora: from the files as published to instruction data, with every row accounted for.

import curate

run = curate.recipe("lcqmc", "data/lcqmc", formats=["messages"])
train = run.to_polars("train")
"""

from curate.api import Run, mix, read_run, recipe
from curate.types import UserError

__all__ = ["Run", "UserError", "mix", "read_run", "recipe"]
