"""What a model says about the rows of the evaluation splits, and how good that is.

A split is evaluated three ways: the loss of the right answers, greedy generation, and for tasks with labels the
probability of each label word. `evaluate` looks at one model; `write_evaluation` sets base and tuned side by side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tune.errors import UserError
from tune.results import Evaluation, append_samples

if TYPE_CHECKING:
    from tune.data import Tokens
    from tune.metrics import Measured
    from tune.runs import Run

Report = Callable[[str], None]

#: Evaluated unless the user names others.
EVALUATION_SPLITS = ("validation", "test")
#: What a model may say beyond the longest label word before it counts as not having stopped.
SLACK = 2


@dataclass(frozen=True)
class Questions:
    """The labelled rows of a split that are evaluated: N samples in file order, and their prompts.

    found_N: each row's number in the split's Tokens, or -1 where it was dropped for its length.
    """

    split: str
    samples: list[dict[str, Any]]
    prompts: list[list[int]]
    found_N: np.ndarray

    @property
    def references(self) -> list[list[str]]:
        return [accepted(sample) for sample in self.samples]


def accepted(sample: dict[str, Any]) -> list[str]:
    """All accepted answers of a sample: its `meta.references`, else its output."""
    return list(sample["meta"].get("references") or [sample["output"]])


def labelled_splits(run: Run, wanted: Sequence[str] | None = None) -> tuple[list[str], list[str]]:
    """The splits to evaluate, and notes about those that can't be.

    Without `wanted`: validation and test, those that the run has with labels. Raises UserError where a split that the
    user named is missing or has no labelled row.
    """
    if wanted is not None:
        for split in wanted:
            if not _labelled(run, split):
                raise UserError(f"{run.file(split)}: no row has a label, so there is nothing to compare answers with")
        return list(dict.fromkeys(wanted)), []
    here = [split for split in EVALUATION_SPLITS if run.splits.get(split)]
    usable = [split for split in here if _labelled(run, split)]
    return usable, [f"{split}: no row has a label; not evaluated" for split in here if split not in usable]


def _labelled(run: Run, split: str) -> bool:
    return any(is_labelled(sample) for sample in run.rows(split))


def is_labelled(sample: dict[str, Any]) -> bool:
    """Whether a row has an answer to compare with; rows of public test sets may have none."""
    return bool(sample["meta"].get("labelled", True)) and bool(sample["output"])


def ask(run: Run, split: str, tokens: Tokens, prompter: Any, limit: int | None = None) -> Questions:
    """The questions of a split: its labelled rows, or the first `limit` of them.

    A prompt is what was tokenised for training (cut to length, where the settings say so); a row that was too long to
    be trained on is asked in full. Raises UserError for a row whose label the run doesn't know.
    """
    number = {int(row): index for index, row in enumerate(tokens.rows)}
    samples, found = [], []
    for row, sample in enumerate(run.rows(split)):
        if limit is not None and len(samples) >= limit:
            break
        if is_labelled(sample):
            if run.labels and str(sample["meta"].get("label")) not in run.labels:
                known = ", ".join(run.labels)
                raise UserError(f"{run.file(split)}:{row + 1}: 'label' in 'meta' must be one of {known}")
            samples.append(sample)
            found.append(number.get(row, -1))
    fresh = iter(prompter.prompt_ids([s for s, index in zip(samples, found, strict=True) if index < 0]))
    prompts = [next(fresh) if i < 0 else tokens.sample(i)[0][: tokens.prompts[i]].tolist() for i in found]
    return Questions(split, samples, prompts, np.array(found, dtype=np.int64))


def evaluate(
    model: Any,
    prompter: Any,
    run: Run,
    splits: Sequence[str],
    config: Any,
    tokens: Mapping[str, Tokens],
    *,
    row_tokens: int,
    report: Report | None = None,
) -> Evaluation:
    """Evaluate one model, as it stands, on the labelled rows of `splits`.

    Settings read: eval_limit (rows of each split), max_new_tokens (for tasks without labels) and loss. `tokens` holds
    each split's tokens, `row_tokens` the length of a packed row; both as in training.

    - answer_loss: mean negative log-likelihood (nats) of the learnt tokens of the rows that were not too long; with
      `loss: all` of the answer's.
    - exact_match and the run's metrics: of the greedy answers to all labelled rows.
    - accuracy_likelihood (label tasks): the label whose word is the likeliest complete answer, see `label_log_probs`.
      With two labels also auc, and accuracy at the threshold that is best on validation. Beside them stand majority,
      and bag_of_characters: a linear model fitted to the train split.
    - perplexity: exp(answer_loss).
    """
    from tune.objectives import cut_at_samples, unwrapped

    if not hasattr(unwrapped(model), "packed_rows"):  # a model that was loaded, not trained here
        cut_at_samples(model)
    say = report or (lambda _: None)
    evaluation = Evaluation({}, [])
    asked = [ask(run, split, tokens[split], prompter, config.eval_limit) for split in splits]
    likelihoods: dict[str, np.ndarray] = {}
    for questions in asked:
        split = questions.split
        if not questions.samples:
            raise UserError(f"{run.path}: the {split} split has no labelled row, so there is nothing to evaluate")
        say(f"{split}: loss")
        nll_N, count_N = _answer_nll(model, questions, tokens[split], config, row_tokens)
        if run.labels:
            say(f"{split}: likelihood of the label words")
            likelihoods[split] = label_log_probs(model, prompter, questions, list(run.labels.values()), row_tokens)
        predictions = _predict(model, prompter, questions, run, config, report)
        section = {"n": len(questions.samples), "answer_tokens": int(count_N.sum())}
        section |= _loss_metrics(nll_N, count_N, run.metrics)
        measured = _measured(run, questions, predictions)
        section |= measured.figures()
        evaluation.splits[split] = section
        rows = _rows(questions, prompter, predictions, measured, nll_N, count_N, run, likelihoods.get(split))
        evaluation.rows.extend(rows)
        if missing := int((count_N == 0).sum()):
            evaluation.notes.append(f"{split}: answer_loss leaves out {missing:,} rows without tokens (too long)")
    if run.labels:
        _add_label_scores(evaluation, run, asked, likelihoods)
    return evaluation


def write_samples(
    model: Any, prompter: Any, run: Run, config: Any, folder: Path, step: int, split: str = "validation", n: int = 4
) -> None:
    """Add the model's answers to the first `n` rows of a split to samples.jsonl: what it says as training goes on.

    May be called between two steps: greedy generation draws no random number, and the model is left as it was.
    """
    from tune.generate import generate

    samples = list(islice(filter(is_labelled, run.rows(split)), n))
    answers = generate(
        model,
        prompter.prompt_ids(samples),
        stop_ids=prompter.stop_ids,
        pad_id=prompter.pad_id,
        max_new_tokens=config.max_new_tokens,
    )
    rows = [
        {"id": sample["meta"]["id"], "prediction": prompter.decode(ids), "references": accepted(sample)}
        for sample, ids in zip(samples, answers, strict=True)
    ]
    append_samples(folder, step, rows)


# ---- loss and likelihood


def _answer_nll(
    model: Any, questions: Questions, tokens: Tokens, config: Any, row_tokens: int
) -> tuple[np.ndarray, np.ndarray]:
    """(summed nats, tokens) of each question's right answer, [N] each; 0 of 0 for a row that was too long."""
    from tune.objectives import answer_nll

    if config.loss == "all":
        at_L = np.arange(len(tokens.ids_L)) - np.repeat(tokens.offsets[:-1], tokens.lengths)
        tokens = replace(tokens, learn_L=(at_L >= np.repeat(tokens.prompts, tokens.lengths)).astype(np.uint8))
    nll_N, count_N = np.zeros(len(questions.samples)), np.zeros(len(questions.samples), dtype=np.int64)
    here = np.flatnonzero(questions.found_N >= 0)
    if len(here):
        row = _row_for(tokens.lengths, row_tokens)
        nll_N[here], count_N[here] = answer_nll(model, tokens, row, questions.found_N[here])
    return nll_N, count_N


def label_log_probs(
    model: Any, prompter: Any, questions: Questions, words: Sequence[str], row_tokens: int
) -> np.ndarray:
    """log P(label word | prompt) of every question and word, normalised over the words: [N, W], rows sum to 1 in P.

    A word's probability is that of the whole answer, its tokens and the end of the turn: the product over tokens,
    log-probabilities summed. So words of different token counts compare as they should (the end token alone makes 相同
    and 相同的 different answers), and nothing is divided by a length.
    """
    from tune.data import Tokens
    from tune.objectives import answer_nll

    log_p_NW = np.zeros((len(questions.prompts), len(words)))
    for start, stop in _chunks([len(words) * len(ids) for ids in questions.prompts]):
        prompts = questions.prompts[start:stop]
        pieces = [ids for prompt in prompts for ids in prompter.encode_answers(prompt, words)]
        lengths = np.array(list(map(len, pieces)))
        begins = np.repeat([len(ids) for ids in prompts], len(words))
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        at_L = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        tokens = Tokens(
            ids_L=np.concatenate([np.asarray(ids, dtype=np.int32) for ids in pieces]),
            learn_L=(at_L >= np.repeat(begins, lengths)).astype(np.uint8),
            offsets=offsets,
            prompts=begins.astype(np.int32),
            rows=np.arange(len(pieces), dtype=np.int32),
            counts={},
            key="",
        )
        nll, _ = answer_nll(model, tokens, _row_for(lengths, row_tokens))
        log_p_NW[start:stop] = -nll.reshape(-1, len(words))
    return log_p_NW - np.logaddexp.reduce(log_p_NW, axis=1, keepdims=True)


def _chunks(tokens: Sequence[int], most: int = 4_000_000) -> Iterator[tuple[int, int]]:
    """Runs of rows, each of about `most` tokens, so that a large split with many labels needs no large memory."""
    start, held = 0, 0
    for row, n in enumerate(tokens):
        if held and held + n > most:
            yield start, row
            start, held = row, 0
        held += n
    if held:
        yield start, len(tokens)


def _row_for(lengths: np.ndarray, row_tokens: int) -> int:
    """Training's row length where the longest of these samples fits it, else one that it fits."""
    from tune.pack import round_up

    return max(row_tokens, round_up(int(lengths.max())))


# ---- answers and scores


def _predict(
    model: Any, prompter: Any, questions: Questions, run: Run, config: Any, report: Report | None
) -> list[str]:
    from tune.generate import generate

    most = config.max_new_tokens
    if run.labels:
        # A right answer is no longer than the longest label word and the end of the turn.
        prompt = questions.prompts[0]
        words = prompter.encode_answers(prompt, list(run.labels.values()))
        most = max(len(ids) - len(prompt) for ids in words) + SLACK
    answers = generate(
        model,
        questions.prompts,
        stop_ids=prompter.stop_ids,
        pad_id=prompter.pad_id,
        max_new_tokens=most,
        report=(lambda text: report(f"{questions.split}: {text}")) if report else None,
    )
    return [prompter.decode(ids) for ids in answers]


def _loss_metrics(nll_N: np.ndarray, count_N: np.ndarray, metrics: Sequence[str]) -> dict[str, dict[str, float]]:
    from tune.metrics.bootstrap import interval, ratio

    loss = interval(np.stack([nll_N, count_N], axis=1), ratio)
    found = {"answer_loss": loss}
    if "perplexity" in metrics:
        found["perplexity"] = {key: math.exp(value) for key, value in loss.items()}
    return found


def _measured(run: Run, questions: Questions, predictions: list[str]) -> Measured:
    from tune.metrics import measure

    labels = _gold(questions) if run.labels else None
    names = ["exact_match", *(name for name in run.metrics if name != "exact_match")]
    return measure(run.task, names, predictions, questions.references, labels, run.labels)


def _gold(questions: Questions) -> list[str]:
    return [str(sample["meta"]["label"]) for sample in questions.samples]


def _rows(
    questions: Questions,
    prompter: Any,
    predictions: list[str],
    measured: Measured,
    nll_N: np.ndarray,
    count_N: np.ndarray,
    run: Run,
    log_p_NW: np.ndarray | None,
) -> Iterator[dict[str, Any]]:
    """The lines of predictions.jsonl about one model; `scores` holds what is known of the single row."""
    labels = _gold(questions) if run.labels else None
    scored = measured.by_row()
    for index, sample in enumerate(questions.samples):
        scores: dict[str, Any] = {"nll": round(float(nll_N[index]), 6), "answer_tokens": int(count_N[index])}
        scores |= scored[index]
        if log_p_NW is not None and labels is not None:
            codes, p_W = list(run.labels), np.exp(log_p_NW[index])
            likeliest = codes[int(p_W.argmax())]
            scores |= {"probabilities": {code: round(float(p), 9) for code, p in zip(codes, p_W, strict=True)}}
            scores |= {"likeliest": likeliest, "likeliest_correct": float(likeliest == labels[index])}
        yield {
            "id": sample["meta"]["id"],
            "split": questions.split,
            "prompt": prompter.prompt_text(sample),
            "prediction": predictions[index],
            "references": accepted(sample),
            "scores": scores,
        }


# ---- label tasks: likelihoods, and what a figure has to beat


def _add_label_scores(
    evaluation: Evaluation, run: Run, asked: Sequence[Questions], log_p: Mapping[str, np.ndarray]
) -> None:
    """Add the scores of the label words' probabilities, and the baselines, to the sections of label tasks."""
    from tune.metrics.baselines import majority
    from tune.metrics.likelihood import label_scores

    codes = list(run.labels)
    threshold = _threshold(codes, asked, log_p)
    if len(codes) == 2 and threshold is None:
        evaluation.notes.append("accuracy_at_threshold: there is no validation split to choose the threshold on")
    for questions in asked:
        section, gold = evaluation.splits[questions.split], _gold(questions)
        section |= label_scores(np.exp(log_p[questions.split]), gold, codes, threshold=threshold)
        if threshold is not None:
            section["accuracy_at_threshold"]["threshold"] = threshold
        section["majority"] = majority(gold)
        if bag := _bag_of_characters(run, questions):
            section["bag_of_characters"] = bag


def _threshold(codes: list[str], asked: Sequence[Questions], log_p: Mapping[str, np.ndarray]) -> float | None:
    """With two labels, the probability of the positive one from which on validation it is best called so."""
    from tune.metrics.likelihood import best_threshold, positive_index

    validation = next((questions for questions in asked if questions.split == "validation"), None)
    if validation is None or len(codes) != 2:
        return None
    positive = positive_index(codes)
    right = np.array([label == codes[positive] for label in _gold(validation)])
    return best_threshold(np.exp(log_p["validation"][:, positive]), right)


def _bag_of_characters(run: Run, questions: Questions) -> dict[str, float] | None:
    """The accuracy of a linear model that read the train split; None where there is nothing to read."""
    from tune.metrics.accuracy import correct
    from tune.metrics.baselines import labelled_texts
    from tune.metrics.bootstrap import interval, mean

    predict = _linear_model(run.path, run.fingerprint) if questions.split != "train" else None
    texts, labels = labelled_texts(questions.samples, run.labels)
    return interval(correct(predict(texts), labels), mean(0)) if predict and texts else None


@lru_cache(maxsize=1)  # base and tuned, validation and test: fitted once for all of them
def _linear_model(path: Path, _fingerprint: str) -> Callable[..., list[str]] | None:
    from tune.metrics.baselines import fit_characters, labelled_texts
    from tune.runs import open_run

    run = open_run(path)
    texts, labels = labelled_texts(run.rows("train") if "train" in run.splits else (), run.labels)
    return fit_characters(texts, labels) if texts else None
