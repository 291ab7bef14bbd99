"""What the report says, as plain data: figures, differences, curves, confusions, and a sample of the rows behind them.

Everything is counted from the tuning's own files; of its run the manifest is read, and of a mixture which row is of
which corpus. The page is drawn from this and nothing else.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import numpy as np

from tune.config import TINIES, Config, own_lr
from tune.curve import LOG_FROM, points, running_mean, thin, ticks
from tune.errors import UserError
from tune.model_card import Facts, prompt_frame
from tune.page.excerpts import clip, cut_middle
from tune.paired import by_section, differences, main_metric, part_of
from tune.results import MODELS
from tune.runs import MIXTURE, Run
from tune.tables import BASELINES, metric_names

Report = dict[str, Any]
Row = dict[str, Any]

#: Rows shown of each kind and section, and on the whole page.
SHOWN, SHOWN_IN_ALL = 12, 240
#: Characters that are shown of a prompt and of an answer; accepted answers that are.
PROMPT, ANSWER, REFERENCES = 420, 300, 3
#: Columns of a distribution.
COLUMNS = 10
#: Points of a line on the page.
POINTS = 240
#: What became of a row: the kinds that are shown.
KINDS = ("fixed", "broken", "wrong")


def measure(facts: Facts, *, rows: bool = True) -> Report:
    """Everything that the report shows; without `rows` no text of the corpus."""
    from tune.methods import METHODS

    names = [name for name in MODELS if facts.evaluation.get(name)]
    sections = list(dict.fromkeys(section for name in names for section in facts.evaluation[name]))
    here = by_section(facts.run, facts.predictions) if facts.run and facts.predictions else {}
    frame = prompt_frame(facts) if rows else None
    most = max(3, min(SHOWN, SHOWN_IN_ALL // (len(KINDS) * max(1, len(sections)))))
    found = {}
    for name in sections:
        figures = {model: facts.evaluation[model].get(name, {}) for model in names}
        section = found[name] = _figures(facts.run, name, figures)
        lines = here.get(name)
        if not facts.run or not lines or len(names) < len(MODELS):
            continue
        try:
            section |= _of_rows(facts.run, name, lines, figures)
        except UserError as error:
            section["note"] = str(error)
            continue
        outcomes = section.pop("outcomes")
        if rows and part_of(facts.run, name).task != MIXTURE:
            section["rows"] = _shown(section["by"], lines, outcomes, most, facts.config.seed, frame)
    return {
        "name": facts.folder.resolve().name,
        "config": facts.config,
        "folder": METHODS[facts.config.method].folder,
        "tiny": facts.config.model in TINIES,
        "evaluated": names,
        "sections": found,
        "curve": curve(facts.steps),
        "plan": facts.plan,
        "local": facts.local,
        "hashes": facts.hashes,
        "manifest": facts.manifest,
        "corpus": facts.corpus,
        "card": facts.card,
        "settings": settings(facts.config),
        "rows": rows,
    }


# ---- figures


def _figures(run: Run | None, name: str, figures: dict[str, Report]) -> Report:
    """A section of eval.json turned round: what base and tuned have in each metric, and the main one."""
    either = list(figures.values())
    metrics = {
        metric: {model: figures[model].get(metric) for model in figures}
        for metric in metric_names(*either)
        if metric not in BASELINES
    }
    baselines = {
        metric: next(section[metric] for section in either if metric in section)
        for metric in metric_names(*either)
        if metric in BASELINES
    }
    n = next((section["n"] for section in either if "n" in section), 0)
    main = main_metric(run, name, metrics)
    return {"n": n, "main": main, "metrics": metrics, "baselines": baselines, "differences": {}}


def _of_rows(run: Run, name: str, lines: Sequence[Row], figures: dict[str, Report]) -> Report:
    """What only the rows tell: paired differences, what became of each row, confusions or the rows' own scores."""
    part = part_of(run, name)
    sides = [
        [row | {"prediction": row[f"{prefix}prediction"], "scores": row[f"{prefix}scores"]} for row in lines]
        for prefix in ("base_", "")
    ]
    found = differences(part, sides, [figures[model] for model in MODELS], same_tokens=True)
    told: Report = {"differences": {metric: pair[1] for metric, pair in found.items()}}
    by, scores = _row_scores(part, lines)
    told |= {
        "by": by,
        "outcomes": [_outcome(*pair, by) for pair in scores],
        "graded": by == "answer_loss" or _graded(scores),
    }
    told["counts"] = Counter(told["outcomes"])
    if part.labels and sides[1][0]["scores"].keys() & {"accuracy", "probabilities"}:  # not where a head gives scores
        return told | {"labels": _labels(part, sides)}
    return told if part.task == MIXTURE else told | {"spread": _spread(part, lines)}


def _row_scores(part: Run, lines: Sequence[Row]) -> tuple[str, list[tuple[float, float]]]:
    """By what single rows are held against each other, and each row's score for base and tuned.

    The first of the corpus's metrics that a row has by itself; where none has (BLEU), the loss of its answer.
    """
    from tune.metrics import METRICS

    names = ("exact_match",) if part.task == MIXTURE else part.metrics
    own = (name for name in names if name in METRICS and METRICS[name].column is not None)
    by = next((name for name in own if name in lines[0]["scores"]), "answer_loss")
    read = row_loss if by == "answer_loss" else itemgetter(by)
    return by, [(read(row["base_scores"]), read(row["scores"])) for row in lines]


def row_loss(scores: Row) -> float:
    """Nats a token of the right answer; 0 for a row that was too long to have any."""
    return scores["nll"] / scores["answer_tokens"] if scores.get("answer_tokens") else 0.0


def _graded(scores: Sequence[tuple[float, float]]) -> bool:
    """Whether there is more than right and wrong."""
    return any(score not in (0, 1) for pair in scores for score in pair)


def _outcome(base: float, tuned: float, by: str) -> str:
    """fixed: tuning made it better; broken: worse; right or wrong: neither."""
    if by == "answer_loss":
        base, tuned = -base, -tuned
    if tuned != base:
        return "fixed" if tuned > base else "broken"
    return "right" if tuned == 1 else "wrong"


def _labels(part: Run, sides: Sequence[Sequence[Row]]) -> Report:
    """Rows of each true label by the label that was answered ("" for none); majority: what the tuned model's accuracy
    is above that of always giving the most frequent label."""
    from tune.metrics import Scored

    codes = list(part.labels)
    told: Report = {"words": dict(part.labels)}
    for model, rows in zip(MODELS, sides, strict=True):
        scored = Scored([r["prediction"] for r in rows], [r["references"] for r in rows], None, part.labels)
        pairs = Counter(zip(scored.gold, (label or "" for label in scored.predicted), strict=True))
        told[model] = {gold: {said: pairs[gold, said] for said in [*codes, ""]} for gold in codes}
        told["majority"] = _above_majority(scored.gold, scored.predicted)  # of the tuned model, which comes last
    return told


def _above_majority(gold: Sequence[str], predicted: Sequence[str | None]) -> dict[str, float]:
    """The accuracy of some labels less that of always giving the most frequent one, with the paired interval."""
    from tune.metrics.bootstrap import interval, mean

    most = max(sorted(set(gold)), key=list(gold).count)
    gains = [[(said == right) - (most == right)] for said, right in zip(predicted, gold, strict=True)]
    return interval(np.array(gains, dtype=np.float64), mean(0))


def class_figures(
    matrix: dict[str, dict[str, int]], code: str
) -> tuple[float | None, float | None, float | None, int]:
    """Precision, recall and F1 of a class (None where there is nothing to divide by), and its rows."""
    right, said = matrix[code][code], sum(row[code] for row in matrix.values())
    support = sum(matrix[code].values())
    precision = right / said if said else None
    recall = right / support if support else None
    f1 = 2 * right / (said + support) if said + support else None
    return precision, recall, f1, support


# ---- rows


def _spread(part: Run, lines: Sequence[Row]) -> dict[str, Report]:
    """How the rows' own scores are spread, base and tuned: of metrics that are more than right or wrong, and the loss.

    Each {"edges": [C + 1 of them], "base": [rows in each of C columns], "tuned": …, "over": {model: rows beyond}}.
    """
    from tune.metrics import METRICS

    found = {}
    for name in part.metrics:
        if name in METRICS and METRICS[name].column is not None and name in lines[0]["scores"]:
            values = {m: [row[f"{p}scores"][name] for row in lines] for m, p in (("base", "base_"), ("tuned", ""))}
            if any(v not in (0, 1) for of in values.values() for v in of):
                found[name] = _columns(values, [at / COLUMNS for at in range(COLUMNS + 1)])
    kept = [row for row in lines if row["scores"].get("answer_tokens")]
    losses = {m: [row_loss(row[f"{p}scores"]) for row in kept] for m, p in (("base", "base_"), ("tuned", ""))}
    if kept:
        every = sorted(losses["base"] + losses["tuned"])
        reach = every[-(-99 * len(every) // 100) - 1]  # one lost row doesn't squeeze all others into a column
        found["answer_loss"] = _columns(losses, ticks(every[0], reach, COLUMNS))
    return found


def _columns(values: dict[str, list[float]], edges: list[float]) -> Report:
    """A value on the last edge is in the last column."""
    told: Report = {"edges": edges, "over": {}}
    for model, of in values.items():
        inside = Counter(max(1, min(bisect_right(edges, value), len(edges) - 1)) for value in of if value <= edges[-1])
        told[model] = [inside[at] for at in range(1, len(edges))]
        told["over"][model] = len(of) - inside.total()
    return told


def _shown(
    by: str, lines: Sequence[Row], outcomes: Sequence[str], most: int, seed: int, frame: tuple[str, str] | None
) -> dict[str, list[Row]]:
    """A sample of the rows that were fixed, broken, or are still wrong: the same rows for the same seed."""

    def lot(row: Row, kind: str) -> bytes:
        return hashlib.sha256(f"{seed}/{kind}/{row['id']}".encode("utf-8", "surrogatepass")).digest()

    told = {}
    for kind in KINDS:
        of = [row for row, outcome in zip(lines, outcomes, strict=True) if outcome == kind]
        told[kind] = [_excerpt(row, by, frame) for row in sorted(of, key=lambda row: lot(row, kind))[:most]]
    return told


def _excerpt(row: Row, by: str, frame: tuple[str, str] | None) -> Row:
    prompt = row["prompt"]
    if frame:  # one with a system message of its own begins otherwise
        prompt = prompt.removesuffix(frame[1]).removeprefix(frame[0])
    read = row_loss if by == "answer_loss" else itemgetter(by)
    scores = {"base": read(row["base_scores"]), "tuned": read(row["scores"])}
    return {
        "id": clip(row["id"], ANSWER),
        "prompt": cut_middle(prompt, PROMPT),
        "references": [clip(text, ANSWER) for text in dict.fromkeys(row["references"])][:REFERENCES],
        "more": max(0, len(set(row["references"])) - REFERENCES),
        "base": clip(row["base_prediction"], ANSWER),
        "tuned": clip(row["prediction"], ANSWER),
        "scores": scores,
    }


# ---- training


def curve(steps: Sequence[dict[str, Any]]) -> Report:
    """metrics.jsonl as lines of (step, value): train loss and its running mean, validation loss, learning rate."""
    trained = [line for line in steps if line.get("kind") != "eval"]
    train = points(trained, "loss")
    validation = points([line for line in steps if line.get("kind") == "eval"], "answer_loss")
    shown = [y for _, y in [*train, *validation]]
    return {
        "train": thin(train, POINTS),
        "smooth": thin(running_mean(train, max(1, len(train) // 40)), POINTS),
        "validation": validation,
        "lr": thin(points(trained, "lr"), POINTS),
        "log": bool(shown) and min(shown) > 0 and max(shown) > LOG_FROM * min(shown),
        "first": train[0] if train else None,
        "last": train[-1] if train else None,
    }


def settings(config: Config) -> list[tuple[str, Any, Any]]:
    """The settings that are not the default: key, value, default. Those that other methods read are left out."""
    from tune.methods import METHODS

    method = METHODS[config.method]
    others = {key for one in METHODS.values() for key in one.keys} - set(method.keys)
    lr = own_lr(method, config.model)
    defaults = {key: field.default for key, field in Config.model_fields.items()}
    defaults |= {"lr": lr, "weight_decay": method.weight_decay, **method.own, **dict(method.fixed)}
    values = {key: getattr(config, key) for key in Config.model_fields}
    left_out = others | {"model", "method", "objective", "seed"}
    return [(k, v, defaults[k]) for k, v in values.items() if v != defaults[k] and k not in left_out]
