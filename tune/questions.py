"""What is evaluated: the labelled rows of a run's splits, corpus by corpus, as questions to a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tune.errors import UserError

if TYPE_CHECKING:
    from tune.data import Tokens
    from tune.runs import Run

#: Evaluated unless the user names others.
EVALUATION_SPLITS = ("validation", "test")

#: A sample and its line in the split's file, from 0.
Numbered = tuple[int, dict[str, Any]]


@dataclass(frozen=True)
class Questions:
    """The rows of a split that are evaluated, of one corpus: N samples in file order, and their prompts.

    run: the run, or the part of a mixture that they are of. lines_N: each row's line in the split's file, from 0.
    found_N: its number in the split's Tokens, or -1 where it was dropped for its length.
    """

    run: Run
    split: str
    samples: list[dict[str, Any]]
    prompts: list[list[int]]
    lines_N: np.ndarray
    found_N: np.ndarray

    @property
    def references(self) -> list[list[str]]:
        return [accepted(sample) for sample in self.samples]

    @property
    def section(self) -> str:
        """Where their figures stand in eval.json."""
        return self.run.section(self.split)

    @property
    def gold(self) -> list[str]:
        """The label of each row of a label task."""
        return [str(sample["meta"]["label"]) for sample in self.samples]


def accepted(sample: dict[str, Any]) -> list[str]:
    """All accepted answers of a sample: its `meta.references`, else its output."""
    return list(sample["meta"].get("references") or [sample["output"]])


def is_labelled(sample: dict[str, Any]) -> bool:
    """Whether a row has an answer to compare with; rows of public test sets may have none."""
    return bool(sample["meta"].get("labelled", True)) and bool(sample["output"])


def labelled_splits(run: Run, wanted: Sequence[str] | None = None) -> tuple[list[str], list[str]]:
    """The splits to evaluate, and notes about what can't be: splits, or a mixture's corpora in them, without labels.

    Without `wanted`: validation and test, those that the run has with labels. Raises UserError where a split that the
    user named is missing or has no labelled row.
    """
    asked = [split for split in EVALUATION_SPLITS if run.splits.get(split)] if wanted is None else wanted
    usable, notes = list[str](), list[str]()
    for split in dict.fromkeys(asked):
        labelled = _labelled(run, split)
        if any(labelled.values()):
            usable.append(split)
            without = [name for name in labelled if not labelled[name]]
            notes += [f"{split}: no row of {name} has a label; not evaluated" for name in without]
        elif wanted is not None:
            raise UserError(f"{run.file(split)}: no row has a label, so there is nothing to compare answers with")
        else:
            notes.append(f"{split}: no row has a label; not evaluated")
    return usable, notes


def _labelled(run: Run, split: str) -> dict[str, bool]:
    """Whether any row of a split has a label, for each corpus that has rows there."""
    found: dict[str, bool] = {}
    for sample in run.rows(split):
        corpus = run.corpus_of(sample)
        found[corpus] = found.get(corpus, False) or is_labelled(sample)
        if len(found) == len(run.parts) and all(found.values()):
            break
    return dict(sorted(found.items()))


def first_labelled(run: Run, split: str, limit: int | None = None) -> list[tuple[Run, list[Numbered]]]:
    """The parts of a run with labelled rows in a split, and these rows, or the first `limit` of each part."""
    parts = run.parts
    found: dict[str, list[Numbered]] = {part.corpus: [] for part in parts}
    for line, sample in run.numbered(split):
        here = found[run.corpus_of(sample)]
        if is_labelled(sample) and (limit is None or len(here) < limit):
            here.append((line, sample))
        if limit is not None and all(len(rows) >= limit for rows in found.values()):
            break
    return [(part, found[part.corpus]) for part in parts if found[part.corpus]]


def ask(run: Run, split: str, tokens: Tokens, prompter: Any, limit: int | None = None) -> list[Questions]:
    """The questions of a split, for each corpus that has any: its labelled rows, or the first `limit` of them.

    A prompt is what was tokenised for training (cut to length, where the settings say so); a row that was too long to
    be trained on is asked in full. Raises UserError for a row whose label its corpus doesn't know.
    """
    number = {int(row): index for index, row in enumerate(tokens.rows)}
    asked = []
    for part, rows in first_labelled(run, split, limit):
        for line, sample in rows if part.labels else ():
            if str(sample["meta"].get("label")) not in part.labels:
                known = ", ".join(part.labels) + (f" ({part.corpus})" if part.corpus else "")
                raise UserError(f"{run.file(split)}:{line + 1}: 'label' in 'meta' must be one of {known}")
        found = [number.get(line, -1) for line, _ in rows]
        fresh = iter(prompter.prompt_ids([s for (_, s), index in zip(rows, found, strict=True) if index < 0]))
        prompts = [next(fresh) if i < 0 else tokens.sample(i)[0][: tokens.prompts[i]].tolist() for i in found]
        lines_N = np.array([line for line, _ in rows], dtype=np.int64)
        samples = [sample for _, sample in rows]
        asked.append(Questions(part, split, samples, prompts, lines_N, np.array(found, dtype=np.int64)))
    return asked
