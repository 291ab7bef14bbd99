"""What one model answers better than another, row by row: rows are drawn for both at once (a paired bootstrap).

Two intervals that overlap say little when both models answered the same rows: what is hard for one is hard for the
other. The interval of the difference says it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tune.runs import MIXTURE, Run
from tune.tables import OF_SCORES, metric_names


def part_of(run: Run, section: str) -> Run:
    """The part of a run that a section is of; the run itself for a whole split, and where it has no parts."""
    return next((part for part in run.parts if part.corpus == section.partition("/")[2]), run)


def main_metric(run: Run | None, section: str, names: Collection[str]) -> str:
    """The metric that a section is summed up by: the first of the corpus's own that it has."""
    own = part_of(run, section).metrics if run else ()
    return next((name for name in (*own, "pearson", "exact_match") if name in names), "answer_loss")


def by_section(run: Run, rows: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Lines of predictions.jsonl by the section of eval.json that they are of; of a mixture each stands in two."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["split"], []).append(row)
    for split, here in list(found.items()) if run.task == MIXTURE else ():
        corpus_of = {sample["meta"]["id"]: run.corpus_of(sample) for sample in run.rows(split)}
        for part in run.parts:
            found[part.section(split)] = [row for row in here if corpus_of.get(row["id"]) == part.corpus]
    return found


@dataclass(frozen=True)
class Measured:
    """Numbers a row (N, K), in the order of ids, and the figure that their sums make."""

    statistics_NK: np.ndarray
    figure: Any


def differences(
    run: Run, rows: Sequence[list[dict[str, Any]]], sections: Sequence[dict[str, Any]], same_tokens: bool
) -> dict[str, list[dict[str, float] | None]]:
    """Of each metric that rows decide, each tuning's figure less the first one's, with paired 95 % intervals."""
    measured = [_measure(run, rows_of, section) for rows_of, section in zip(rows, sections, strict=True)]
    return {
        name: [None, *(_difference(measured[0][name], other[name]) for other in measured[1:])]
        for name in metric_names(*sections)
        if all(name in one for one in measured) and (same_tokens or name != "answer_loss")
    }


def _measure(run: Run, rows: Sequence[dict[str, Any]], section: dict[str, Any]) -> dict[str, Measured]:
    """What each metric of a section of eval.json is the figure of, counted from the rows."""
    from tune.metrics import METRICS, Scored
    from tune.metrics.bootstrap import ratio

    rows = sorted(rows, key=lambda row: row["id"])
    scored = Scored([row["prediction"] for row in rows], [row["references"] for row in rows], None, run.labels)
    # A head that gives scores is held against the labels themselves, not against their words.
    codes = {word: code for code, word in run.labels.items()}
    of_codes = replace(scored, references=[[codes.get(text, text) for text in given] for given in scored.references])
    found = {
        name: Measured(METRICS[name].statistics(of_codes if name in OF_SCORES else scored), METRICS[name].figure)
        for name in section
        if name in METRICS
    }
    loss = [[row["scores"].get("nll"), row["scores"].get("answer_tokens")] for row in rows]
    if all(None not in pair for pair in loss):
        found["answer_loss"] = Measured(np.array(loss, dtype=np.float64), ratio)
    if run.labels and all("probabilities" in row["scores"] for row in rows):
        found |= _measure_labels(run, rows, scored.gold, section)
    return found


def _measure_labels(
    run: Run, rows: Sequence[dict[str, Any]], gold: Sequence[str], section: dict[str, Any]
) -> dict[str, Measured]:
    """The figures of the label words' probabilities."""
    from tune.metrics.bootstrap import divide, mean
    from tune.metrics.likelihood import auc_statistics, positive_index

    likely_N = np.array([row["scores"]["likeliest_correct"] for row in rows], dtype=np.float64)
    found = {"accuracy_likelihood": Measured(likely_N[:, None], mean(0))}
    codes = list(run.labels)
    if len(codes) != 2:
        return found
    positive = codes[positive_index(codes)]
    p_N = np.array([row["scores"]["probabilities"][positive] for row in rows])
    positive_N = np.array([label == positive for label in gold])
    if "auc" in section:
        statistics_N4, auc = auc_statistics(p_N, positive_N)
        # To first order the AUC of a resample, as for the interval in eval.json.
        found["auc"] = Measured(
            statistics_N4, lambda sums, _: divide(sums[:, 0], sums[:, 1]) + divide(sums[:, 2], sums[:, 3]) - auc
        )
    if "accuracy_at_threshold" in section:
        right_N = (p_N >= section["accuracy_at_threshold"]["threshold"]) == positive_N
        found["accuracy_at_threshold"] = Measured(right_N.astype(np.float64)[:, None], mean(0))
    return found


def _difference(first: Measured, other: Measured) -> dict[str, float]:
    """other - first as {"value", "low", "high"}; the same draws of rows for both."""
    from tune.metrics.bootstrap import resampled_sums, with_interval

    k = first.statistics_NK.shape[1]
    both_NK = np.concatenate([first.statistics_NK, other.statistics_NK], axis=1)

    def less(sums_RK: np.ndarray, n: int) -> np.ndarray:
        return other.figure(sums_RK[:, k:], n) - first.figure(sums_RK[:, :k], n)

    return with_interval(both_NK, resampled_sums(both_NK), less)
