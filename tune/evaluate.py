"""What a model says about the rows of the evaluation splits, and how good that is.

A split is evaluated three ways: the loss of the right answers, greedy generation, and for tasks with labels the
probability of each label word; of a mixture each corpus by itself, by its own metrics and labels, and then the whole.
`evaluate` looks at one model; `write_evaluation` sets base and tuned side by side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tune.errors import UserError
from tune.questions import Questions, accepted, ask, first_labelled
from tune.results import Evaluation, append_samples
from tune.runs import MIXTURE

if TYPE_CHECKING:
    from tune.data import Tokens
    from tune.metrics import Measured
    from tune.runs import Run

Report = Callable[[str], None]

#: What a model may say beyond the longest label word before it counts as not having stopped.
SLACK = 2


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

    Settings read: eval_limit (rows of each split, of a mixture: of each corpus and split), max_new_tokens (for tasks
    without labels) and loss. `tokens` holds each split's tokens, `row_tokens` the length of a packed row; both as in
    training.

    With a head (`tune/verdicts.py`) the answer is the likeliest label's word, or the score; answer_loss is the labels'
    cross-entropy, or the squared error, and the probabilities are the head's.

    - answer_loss: mean negative log-likelihood (nats) of the learnt tokens of the rows that were not too long; with
      `loss: all` of the answer's.
    - exact_match and the run's metrics: of the greedy answers to all labelled rows.
    - accuracy_likelihood (label tasks): the label whose word is the likeliest complete answer, see `label_log_probs`.
      With two labels also auc, and accuracy at the threshold that is best on validation. Beside them stand majority,
      and bag_of_characters: a linear model fitted to the train split.
    - perplexity: exp(answer_loss).

    Of a mixture, a section `validation/NAME` for each corpus holds the figures that its rows get in a run of their
    own, and the section `validation` the answer_loss and exact_match of all rows together.
    """
    from tune.objectives import cut_at_samples, unwrapped

    if not hasattr(unwrapped(model), "packed_rows"):  # a model that was loaded, not trained here
        cut_at_samples(model)
    evaluation = Evaluation({}, [])
    asked = {split: ask(run, split, tokens[split], prompter, config.eval_limit) for split in splits}
    said: list[Answers] = []
    for split, questions_of in asked.items():
        if not questions_of:
            raise UserError(f"{run.path}: the {split} split has no labelled row, so there is nothing to evaluate")
        work = (config, tokens[split], row_tokens, report)
        here = [answer(model, prompter, questions, *work) for questions in questions_of]
        if run.task == MIXTURE:
            evaluation.splits[split] = _whole(here)
        for answers in here:
            evaluation.splits[answers.questions.section] = answers.figures()
            if missing := int((answers.count_N == 0).sum()):
                note = f"answer_loss leaves out {missing:,} rows without tokens (too long)"
                evaluation.notes.append(f"{answers.questions.section}: {note}")
        lines = np.concatenate([answers.questions.lines_N for answers in here])
        rows = list(chain.from_iterable(_rows(answers, prompter) for answers in here))
        evaluation.rows.extend(rows[at] for at in np.argsort(lines))
        said += here
    for part in run.parts:
        if part.labels and config.objective != "regress":
            _add_label_scores(evaluation, part, [a for a in said if a.questions.run.corpus == part.corpus])
    return evaluation


@dataclass(frozen=True)
class Answers:
    """What a model made of N questions.

    nll_N: summed nats of each right answer, of count_N tokens. log_p_NW: of each label word (label tasks).
    """

    questions: Questions
    predictions: list[str]
    measured: Measured
    nll_N: np.ndarray
    count_N: np.ndarray
    log_p_NW: np.ndarray | None

    def figures(self) -> dict[str, Any]:
        """Their section of eval.json, without the label scores."""
        section = {"n": len(self.predictions), "answer_tokens": int(self.count_N.sum())}
        section |= _loss_metrics(self.nll_N, self.count_N, self.questions.run.metrics)
        return section | self.measured.figures()


def answer(
    model: Any,
    prompter: Any,
    questions: Questions,
    config: Any,
    tokens: Tokens,
    row_tokens: int,
    report: Report | None = None,
) -> Answers:
    """Have a model answer the questions of one corpus and split."""
    say, part = report or (lambda _: None), questions.run
    if config.has_head:
        from tune.verdicts import answer_by_head

        say(f"{questions.section}: labels")
        return answer_by_head(model, prompter, questions, row_tokens)
    say(f"{questions.section}: loss")
    nll_N, count_N = _answer_nll(model, questions, tokens, config, row_tokens)
    log_p_NW = None
    if part.labels:
        say(f"{questions.section}: likelihood of the label words")
        log_p_NW = label_log_probs(model, prompter, questions, list(part.labels.values()), row_tokens)
    predictions = _predict(model, prompter, questions, config, report)
    return Answers(questions, predictions, _measured(questions, predictions), nll_N, count_N, log_p_NW)


def _whole(here: Sequence[Answers]) -> dict[str, Any]:
    """The section of a mixture's split as a whole: what means the same for every task."""
    from tune.metrics.bootstrap import interval, mean

    order = np.argsort(np.concatenate([answers.questions.lines_N for answers in here]))
    nll_N = np.concatenate([answers.nll_N for answers in here])[order]
    count_N = np.concatenate([answers.count_N for answers in here])[order]
    exact_N = np.array([row["exact_match"] for answers in here for row in answers.measured.by_row()])[order]
    section: dict[str, Any] = {"n": len(order), "answer_tokens": int(count_N.sum())}
    section |= _loss_metrics(nll_N, count_N, ())
    return section | {"exact_match": interval(exact_N[:, None], mean(0))}


def write_samples(
    model: Any, prompter: Any, run: Run, config: Any, folder: Path, step: int, split: str = "validation", n: int = 4
) -> None:
    """Add the model's answers to the first rows of a split to samples.jsonl: what it says as training goes on.

    `n` rows, of a mixture two of each corpus. May be called between two steps: greedy generation draws no random
    number, and the model is left as it was.
    """
    from tune.generate import generate

    shown = first_labelled(run, split, n if run.task != MIXTURE else 2)
    samples = [sample for _, rows in shown for _, sample in rows]
    if config.has_head:
        from tune.verdicts import say_of, words_of

        texts = words_of(say_of(model, prompter, samples, 128), run.labels)
    else:
        prompts, stops = prompter.prompt_ids(samples), {"stop_ids": prompter.stop_ids, "pad_id": prompter.pad_id}
        answers = generate(model, prompts, max_new_tokens=config.max_new_tokens, **stops)
        texts = [prompter.decode(ids) for ids in answers]
    rows = [
        {"id": sample["meta"]["id"], "prediction": text, "references": accepted(sample)}
        for sample, text in zip(samples, texts, strict=True)
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
        nll_N[here], count_N[here] = answer_nll(model, tokens, row_tokens, questions.found_N[here])
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
        nll, _ = answer_nll(model, tokens, row_tokens)
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


# ---- answers and scores


def _predict(model: Any, prompter: Any, questions: Questions, config: Any, report: Report | None) -> list[str]:
    from tune.generate import generate

    most, labels = config.max_new_tokens, questions.run.labels
    if labels:
        # A right answer is no longer than the longest label word and the end of the turn.
        prompt = questions.prompts[0]
        words = prompter.encode_answers(prompt, list(labels.values()))
        most = max(len(ids) - len(prompt) for ids in words) + SLACK
    answers = generate(
        model,
        questions.prompts,
        stop_ids=prompter.stop_ids,
        pad_id=prompter.pad_id,
        max_new_tokens=most,
        report=(lambda text: report(f"{questions.section}: {text}")) if report else None,
    )
    return [prompter.decode(ids) for ids in answers]


def _loss_metrics(nll_N: np.ndarray, count_N: np.ndarray, metrics: Sequence[str]) -> dict[str, dict[str, float]]:
    from tune.metrics.bootstrap import interval, ratio

    loss = interval(np.stack([nll_N, count_N], axis=1), ratio)
    found = {"answer_loss": loss}
    if "perplexity" in metrics:
        found["perplexity"] = {key: math.exp(value) for key, value in loss.items()}
    return found


def _measured(questions: Questions, predictions: list[str]) -> Measured:
    from tune.metrics import measure

    part = questions.run
    labels = questions.gold if part.labels else None
    names = ["exact_match", *(name for name in part.metrics if name != "exact_match")]
    return measure(part.task, names, predictions, questions.references, labels, part.labels)


def _rows(answers: Answers, prompter: Any) -> Iterator[dict[str, Any]]:
    """The lines of predictions.jsonl about one model; `scores` holds what is known of the single row."""
    questions, codes = answers.questions, list(answers.questions.run.labels)
    gold = questions.gold if codes else []
    scored = answers.measured.by_row()
    for index, sample in enumerate(questions.samples):
        scores: dict[str, Any] = {"nll": round(float(answers.nll_N[index]), 6)}
        scores |= {"answer_tokens": int(answers.count_N[index]), **scored[index]}
        if answers.log_p_NW is not None:
            p_W = np.exp(answers.log_p_NW[index])
            likeliest = codes[int(p_W.argmax())]
            scores |= {"probabilities": {code: round(float(p), 9) for code, p in zip(codes, p_W, strict=True)}}
            scores |= {"likeliest": likeliest, "likeliest_correct": float(likeliest == gold[index])}
        yield {
            "id": sample["meta"]["id"],
            "split": questions.split,
            "prompt": prompter.prompt_text(sample),
            "prediction": answers.predictions[index],
            "references": accepted(sample),
            "scores": scores,
        }


# ---- label tasks: likelihoods, and what a figure has to beat


def _add_label_scores(evaluation: Evaluation, part: Run, said: Sequence[Answers]) -> None:
    """Add the scores of the label words' probabilities, and the baselines, to the sections of a corpus with labels."""
    from tune.metrics.baselines import majority
    from tune.metrics.likelihood import label_scores

    codes = list(part.labels)
    threshold = _threshold(codes, said)
    if said and len(codes) == 2 and threshold is None:
        name = f"{part.corpus}: " if part.corpus else ""
        note = "accuracy_at_threshold: there is no validation split to choose the threshold on"
        evaluation.notes.append(name + note)
    for answers in said:
        section, gold = evaluation.splits[answers.questions.section], answers.questions.gold
        assert answers.log_p_NW is not None
        section |= label_scores(np.exp(answers.log_p_NW), gold, codes, threshold=threshold)
        if threshold is not None:
            section["accuracy_at_threshold"]["threshold"] = threshold
        section["majority"] = majority(gold)
        if bag := _bag_of_characters(answers.questions):
            section["bag_of_characters"] = bag


def _threshold(codes: list[str], said: Sequence[Answers]) -> float | None:
    """With two labels, the probability of the positive one from which on validation it is best called so."""
    from tune.metrics.likelihood import best_threshold, positive_index

    validation = next((answers for answers in said if answers.questions.split == "validation"), None)
    if validation is None or validation.log_p_NW is None or len(codes) != 2:
        return None
    positive = positive_index(codes)
    right = np.array([label == codes[positive] for label in validation.questions.gold])
    return best_threshold(np.exp(validation.log_p_NW[:, positive]), right)


def _bag_of_characters(questions: Questions) -> dict[str, float] | None:
    """The accuracy of a linear model that read the corpus's train rows; None where there is nothing to read."""
    from tune.metrics.accuracy import correct
    from tune.metrics.baselines import labelled_texts
    from tune.metrics.bootstrap import interval, mean

    part = questions.run
    if questions.split == "train":
        return None
    key = (part.path, part.fingerprint, questions.section, len(questions.samples))
    if key not in _baselines:
        predict = _linear_model(part.path, part.fingerprint, part.corpus)
        texts, labels = labelled_texts(questions.samples, part.labels)
        _baselines[key] = interval(correct(predict(texts), labels), mean(0)) if predict and texts else None
    return _baselines[key]


#: The figures of the linear models: base and tuned are held against the same ones, and each is fitted once.
_baselines: dict[tuple[Path, str, str, int], dict[str, float] | None] = {}


@lru_cache(maxsize=1)  # validation and test of a corpus; models of many labels are too large to keep them all
def _linear_model(path: Path, _fingerprint: str, corpus: str) -> Callable[..., list[str]] | None:
    from tune.metrics.baselines import fit_characters, labelled_texts
    from tune.runs import open_run

    (part,) = [part for part in open_run(path).parts if part.corpus == corpus]
    texts, labels = labelled_texts(part.rows("train") if "train" in part.splits else (), part.labels)
    return fit_characters(texts, labels) if texts else None
