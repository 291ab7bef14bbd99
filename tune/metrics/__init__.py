"""Task metrics: each figure in 0..1 with a 95 % interval, from predictions and references."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tune.errors import UserError
from tune.metrics import accuracy, bleu, bootstrap, cmrc, correlation, drcd, rouge
from tune.metrics.baselines import bag_of_characters, labelled_texts, majority
from tune.metrics.bootstrap import Figure, mean
from tune.metrics.likelihood import best_threshold, label_scores
from tune.settings import did_you_mean

__all__ = [
    "FROM_LOSS", "METRICS", "Metric", "bag_of_characters", "best_threshold", "check_metrics", "label_scores",
    "labelled_texts", "majority", "measure", "row_scores", "score",
]  # fmt: skip

#: Metrics of a recipe that no text decides: they follow from the model's answer loss.
FROM_LOSS = ("perplexity",)


@dataclass(frozen=True)
class Scored:
    """N rows to be scored: what was said, what should have been, and for label tasks the labels of both."""

    predictions: Sequence[str]
    references: Sequence[Sequence[str]]
    labels: Sequence[str] | None
    label_words: Mapping[str, str]

    @cached_property
    def gold(self) -> list[str]:
        """The label of each row: as given, else the one its first reference names."""
        if self.labels is not None:
            return list(self.labels)
        read = accuracy.label_reader(self.label_words)
        named = [read(given[0]) for given in self.references]
        if None in named:
            raise UserError(f"the reference {self.references[named.index(None)][0]!r} names no label of the run")
        return [label for label in named if label is not None]

    @cached_property
    def predicted(self) -> list[str | None]:
        return list(map(accuracy.label_reader(self.label_words), self.predictions))


@dataclass(frozen=True)
class Metric:
    """A figure of many rows: `statistics` gives numbers of each row (N, K), `figure` makes the value of their sums.

    `column`: the statistic that is the row's own score, where the figure is the mean of such. `needs_labels`: works
    on label words. `direction`: whether more (up) or less (down) of it is better.
    """

    name: str
    summary: str
    statistics: Callable[[Scored], np.ndarray]
    figure: Figure
    column: int | None = None
    needs_labels: bool = False
    direction: str = "up"


def _exact(rows: Scored) -> np.ndarray:
    pairs = zip(rows.predictions, rows.references, strict=True)
    return np.array([[p.strip() in [r.strip() for r in given]] for p, given in pairs], dtype=np.float64)


def _correct(rows: Scored) -> np.ndarray:
    return accuracy.correct(rows.predicted, rows.gold)


def _positive(rows: Scored) -> np.ndarray:
    return accuracy.class_counts(rows.predicted, rows.gold, [accuracy.POSITIVE])


def _classes(rows: Scored) -> np.ndarray:
    return accuracy.class_counts(rows.predicted, rows.gold, list(rows.label_words))


def _cmrc(rows: Scored) -> np.ndarray:
    return cmrc.cmrc_scores(rows.predictions, rows.references)


def _drcd(rows: Scored) -> np.ndarray:
    return drcd.drcd_scores(rows.predictions, rows.references)


def _rouge(rows: Scored) -> np.ndarray:
    return rouge.rouge_scores(rows.predictions, rows.references)


def _bleu(rows: Scored) -> np.ndarray:
    return bleu.bleu_statistics(rows.predictions, rows.references)


def _dist1(rows: Scored) -> np.ndarray:
    return bleu.dist_statistics(rows.predictions, 1)


def _dist2(rows: Scored) -> np.ndarray:
    return bleu.dist_statistics(rows.predictions, 2)


def _scores(rows: Scored) -> tuple[np.ndarray, np.ndarray]:
    return correlation.numbers(rows.predictions), correlation.numbers([given[0] for given in rows.references])


def _pearson(rows: Scored) -> np.ndarray:
    return correlation.moments(*_scores(rows))


def _spearman(rows: Scored) -> np.ndarray:
    x_N, y_N = _scores(rows)
    return correlation.moments(correlation.ranks(x_N), correlation.ranks(y_N))


def _error(rows: Scored) -> np.ndarray:
    x_N, y_N = _scores(rows)
    return np.abs(x_N - y_N)[:, None]


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("exact_match", "equal to a reference, outer white space aside", _exact, mean(0), 0),
        Metric("accuracy", "the text names the right label", _correct, mean(0), 0, needs_labels=True),
        Metric("f1", 'F1 of class "1"', _positive, accuracy.mean_f1, needs_labels=True),
        Metric("macro_f1", "mean F1 of the classes that have rows", _classes, accuracy.mean_f1, needs_labels=True),
        Metric("cmrc_em", "exact match, CMRC 2018's rules", _cmrc, mean(0), 0),
        Metric("cmrc_f1", "F1, CMRC 2018's rules", _cmrc, mean(1), 1),
        Metric("drcd_em", "exact match, DRCD's rules", _drcd, mean(0), 0),
        Metric("drcd_f1", "F1 by character, DRCD's rules", _drcd, mean(1), 1),
        Metric("rouge1", "ROUGE-1 F by character", _rouge, mean(0), 0),
        Metric("rouge2", "ROUGE-2 F by character", _rouge, mean(1), 1),
        Metric("rougeL", "ROUGE-L F by character", _rouge, mean(2), 2),
        Metric("bleu2", "BLEU-2, sacrebleu zh", _bleu, bleu.bleu(2)),
        Metric("bleu4", "BLEU-4, sacrebleu zh", _bleu, bleu.bleu(4)),
        Metric("dist1", "distinct characters among all", _dist1, bleu.dist),
        Metric("dist2", "distinct character pairs among all", _dist2, bleu.dist),
        Metric("pearson", "correlation of scores", _pearson, correlation.pearson),
        Metric("spearman", "correlation of the scores' ranks", _spearman, correlation.pearson),
        Metric("mae", "mean absolute error of scores", _error, mean(0), 0, direction="down"),
    )
}


@dataclass(frozen=True)
class Measured:
    """The statistics of N rows for some metrics, worked out once for the figures and for the single rows."""

    metrics: list[Metric]
    statistics: dict[Callable[[Scored], np.ndarray], np.ndarray]
    n: int

    def figures(self, seed: int = 0) -> dict[str, dict[str, float]]:
        """Each metric as {"value", "low", "high"}, with 95 % intervals over the same 1,000 resamples of rows."""
        if not self.statistics:
            return {}
        sums = bootstrap.resampled_sums(np.concatenate(list(self.statistics.values()), axis=1), seed=seed)
        ends = np.cumsum([part.shape[1] for part in self.statistics.values()])
        resampled = dict(zip(self.statistics, np.split(sums, ends[:-1], axis=1), strict=True))
        return {
            metric.name: bootstrap.with_interval(
                self.statistics[metric.statistics], resampled[metric.statistics], metric.figure
            )
            for metric in self.metrics
        }

    def by_row(self) -> list[dict[str, float]]:
        """The scores of each single row, of those metrics that are means over rows (BLEU, F1 and Dist are not)."""
        columns = {
            metric.name: self.statistics[metric.statistics][:, metric.column].tolist()
            for metric in self.metrics
            if metric.column is not None
        }
        return [{name: values[at] for name, values in columns.items()} for at in range(self.n)]


def measure(
    task: str,
    metrics: Sequence[str],
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    labels: Sequence[str] | None = None,
    label_words: Mapping[str, str] | None = None,
) -> Measured:
    """Measure N rows by every metric.

    `references` holds the accepted answers of each row, `labels` its label ("0", "1", …) and `label_words` the word
    of each label; without `labels` the first reference must name one. Names in FROM_LOSS are left out: they are
    figures of a model's loss. Raises UserError for no rows, an unknown metric, and a label metric without labels.
    """
    chosen = [_metric(name, task, label_words) for name in metrics if name not in FROM_LOSS]
    if not predictions:
        raise UserError("there are no rows to score: none of them has a reference answer")
    rows = Scored(predictions, references, labels, label_words or {})
    made: dict[Callable[[Scored], np.ndarray], np.ndarray] = {}
    for metric in chosen:  # several metrics may share their statistics
        if metric.statistics not in made:
            made[metric.statistics] = metric.statistics(rows)
    return Measured(chosen, made, len(predictions))


def score(*rows: Any, seed: int = 0, **more: Any) -> dict[str, dict[str, float]]:
    """The figures of what `measure` takes."""
    return measure(*rows, **more).figures(seed)


def row_scores(*rows: Any, **more: Any) -> list[dict[str, float]]:
    """The scores of each single row of what `measure` takes."""
    return measure(*rows, **more).by_row()


def check_metrics(names: Sequence[str], task: str, label_words: Mapping[str, str] | None) -> None:
    """Raise UserError where a recipe names a metric that there is not, or that its labels don't allow."""
    known = [*METRICS, *FROM_LOSS]
    for name in names:
        if name not in known:
            raise UserError(f"{name!r} is not a metric{did_you_mean(name, known, 'there are')}")
        if name not in FROM_LOSS:
            _metric(name, task, label_words)


def _metric(name: str, task: str, label_words: Mapping[str, str] | None) -> Metric:
    if name not in METRICS:
        raise UserError(f"{name!r} is not a metric that texts can be scored by; there are {', '.join(METRICS)}")
    metric = METRICS[name]
    if metric.needs_labels and not label_words:
        raise UserError(f"{name} compares labels, but this {task} corpus has no label words")
    if name == "f1" and label_words and "1" not in label_words:
        raise UserError(f'f1 is the F1 of class "1", but the labels of the run are {", ".join(label_words)}')
    return metric
