"""How a run's samples fall into rows: how long a row should be, and how many rows there will be. Lengths only."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tune.pack import fill_rows, round_up, step_samples

if TYPE_CHECKING:
    from tune.config import Config
    from tune.data import Tokens

#: A row leaves room for a step whose samples are together this many standard deviations longer than usual. With fewer,
#: too many steps need one more row; with more, every row is emptier. (1 + zσ/μ√B)(1 + P(more than z)) is least for z
#: between 2 and 2.7 where σ/μ√B is 0.06 to 0.015, as for 64 to 1024 samples a step of the usual corpora.
SLACK = 2.5
#: Rows are counted one by one up to this many samples; a longer run is counted that far, and the rest in proportion.
COUNTED = 2_000_000


@dataclass(frozen=True)
class Survey:
    """What the packer makes of all steps.

    packs: rows in all. most: rows of the fullest step. answers: learnt tokens of the fullest row. fill: real tokens a
    row token.
    """

    packs: int
    most: int
    answers: int
    fill: float
    notes: tuple[str, ...]


def survey_rows(tokens: Tokens, config: Config, row_tokens: int, steps: int) -> Survey:
    """Pack every step as training will, without making any tensor."""
    lengths_N = tokens.lengths
    answers_N = np.add.reduceat(tokens.learn_L, tokens.offsets[:-1], dtype=np.int64)
    packs = most = answers = used = counted = seen = 0
    for samples in _steps(len(tokens), config, steps):
        rows = fill_rows(tokens.places, samples, row_tokens)
        packs += len(rows)
        most = max(most, len(rows))
        answers = max(answers, *(int(answers_N[row].sum()) for row in rows))
        used += int(lengths_N[samples].sum(dtype=np.int64))
        counted, seen = counted + 1, seen + len(samples)
        if seen >= COUNTED:
            break
    fill = used / (packs * row_tokens)
    notes = () if counted == steps else (f"packs counted over {counted:,} of {steps:,} steps, the rest in proportion",)
    return Survey(round(packs * steps / counted), most, answers, fill, notes)


def _steps(samples: int, config: Config, steps: int) -> Iterator[np.ndarray]:
    epoch = 0
    while steps > 0:
        for step in step_samples(samples, config.batch, config.seed, epoch)[:steps]:
            yield step
            steps -= 1
        epoch += 1


def choose_row_tokens(places_N: np.ndarray, batch: int, most: int, longest: int) -> int:
    """Tokens a row such that a step of `batch` samples just fills its rows, none of them longer than `most`.

    A step has B·μ tokens, give or take σ·√B. Next-fit leaves at the end of each full row half of the sample that did
    not fit, and that is a long one more often than not: (μ² + σ²) / 2μ on average (a renewal's mean residual life).
    At least `longest`, in whole blocks. `places_N`: tokens that each sample takes.
    """
    batch = min(batch, len(places_N))
    mean, spread = float(places_N.mean()), float(places_N.std())
    need = batch * mean + SLACK * spread * math.sqrt(batch)
    left = (mean**2 + spread**2) / (2 * mean)
    rows = 1
    while rows < batch and need + (rows - 1) * left > rows * most:
        rows += 1
    return round_up(max(longest, math.ceil((need + (rows - 1) * left) / rows)))
