"""What a model with a head says of texts: labels with probabilities, or scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tune.metrics import measure
from tune.questions import Questions
from tune.tables import OF_SCORES

if TYPE_CHECKING:
    from tune.data import Tokens
    from tune.evaluate import Answers
    from tune.export import Tuned


def say_of(model: Any, reader: Any, samples: Sequence[dict[str, Any]], row_tokens: int) -> np.ndarray:
    """The head's outputs for samples, float64 [N, C]: log-probabilities of the labels, or of a score [N, 1]."""
    from tune.objectives import all_logits

    logits_NC = all_logits(model, _tokens(reader, samples), row_tokens)
    if logits_NC.shape[1] == 1:
        return logits_NC
    return logits_NC - np.logaddexp.reduce(logits_NC, axis=1, keepdims=True)


def _tokens(reader: Any, samples: Sequence[dict[str, Any]]) -> Tokens:
    from tune.data import Tokens

    read = reader.read(samples)
    lengths = np.array([len(made.ids) for made in read])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Tokens(
        ids_L=np.concatenate([np.asarray(made.ids, dtype=np.int32) for made in read]),
        learn_L=np.zeros(offsets[-1], dtype=np.uint8),
        offsets=offsets,
        prompts=lengths.astype(np.int32),
        rows=np.arange(len(read), dtype=np.int32),
        counts={},
        key="",
        label_N=np.zeros(len(read)),
        second_N=np.array([made.second for made in read], dtype=np.int32),
    )


def words_of(outputs_NC: np.ndarray, words: dict[str, str]) -> list[str]:
    """What an answer in words would be: the likeliest label's word, or the score."""
    if outputs_NC.shape[1] == 1:
        return [f"{value:.6g}" for value in outputs_NC[:, 0]]
    names = list(words.values())
    return [names[place] for place in outputs_NC.argmax(axis=1)]


def answer_by_head(model: Any, reader: Any, questions: Questions, row_tokens: int) -> Answers:
    """Have a head answer the questions of a split. A row's nats are its label's; of a score, the squared error."""
    from tune.evaluate import Answers

    outputs_NC, part = say_of(model, reader, questions.samples, row_tokens), questions.run
    predictions, ones_N = words_of(outputs_NC, part.labels), np.ones(len(outputs_NC), dtype=np.int64)
    if outputs_NC.shape[1] == 1:
        gold_N = np.array([float(sample["meta"]["label"]) for sample in questions.samples])
        measured = measure(part.task, OF_SCORES, predictions, [[repr(float(gold))] for gold in gold_N])
        return Answers(questions, predictions, measured, (outputs_NC[:, 0] - gold_N) ** 2, ones_N, None)
    names = ["exact_match", *(name for name in part.metrics if name != "exact_match")]
    measured = measure(part.task, names, predictions, questions.references, questions.gold, part.labels)
    codes = list(part.labels)
    nll_N = -outputs_NC[np.arange(len(outputs_NC)), [codes.index(label) for label in questions.gold]]
    return Answers(questions, predictions, measured, nll_N, ones_N, outputs_NC)


def verdict(tuned: Tuned, text: str) -> str:
    """`相同 0.93, 不同 0.07` of a text, or of two with a tab between them, the likeliest first; or the score."""
    from tune.objectives import cut_at_samples, unwrapped

    if not hasattr(unwrapped(tuned.model), "packed_rows"):
        cut_at_samples(tuned.model)
    first, _, second = text.partition("\t")
    fields = {"fields": {"a": first, "b": second}} if second else {}
    sample = {"instruction": first, "input": second, "meta": {"id": "", **fields}}
    (outputs_C,) = say_of(tuned.model, tuned.prompter, [sample], 128)
    if len(outputs_C) == 1:
        return f"{outputs_C[0]:.4g}"
    names = list(tuned.prompter.labels.words.values())
    order = np.argsort(-outputs_C, kind="stable")
    return ", ".join(f"{names[place]} {np.exp(outputs_C[place]):.2f}" for place in order)
