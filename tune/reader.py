"""What a model with a head reads: a sample's text, and its label in the place of an answer.

An encoder reads a pair of texts (`meta.fields` a and b) as the tokenizer's own template joins them, `[CLS] a [SEP] b
[SEP]`, and any other sample as the user's message alone: `EncoderReader`. A decoder reads the same prompt as when it
answers, chat template and instruction included, since that is the place where it was trained to know the answer, and
both objectives can then be compared on the same input: `DecoderReader`. Either stands where a `Prompter` does.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tune.encoders import FAMILIES, positions
from tune.errors import UserError
from tune.metrics.accuracy import label_reader
from tune.prompt import Encoded, make_prompter, plain_backend, user_text

if TYPE_CHECKING:
    from tune.config import Config
    from tune.prompt import Prompter

Sample = dict[str, Any]


def head_settings(config: Config, words: dict[str, str]) -> dict[str, Any] | None:
    """What the configuration of a transformers classifier says of these labels; None without a head."""
    if not config.has_head:
        return None
    if config.objective == "regress":
        names, problem = ["score"], "regression"
    else:
        names, problem = list(words.values()), "single_label_classification"
    id2label = dict(enumerate(names))
    label2id = {name: number for number, name in id2label.items()}
    return {"num_labels": len(names), "id2label": id2label, "label2id": label2id, "problem_type": problem}


def make_reader(
    tokenizer: Any, model_config: Any, config: Config, words: dict[str, str], generation_config: Any = None
) -> Prompter | Reader:
    """What turns samples into a model's ids: a prompter, or with a head a reader. `words`: each label's word.

    Raises UserError where the tokenizer can't be right for the model.
    """
    if not config.has_head or model_config.model_type not in FAMILIES:
        prompter = make_prompter(tokenizer, model_config, config.system, generation_config)
        return DecoderReader(prompter, config, words) if config.has_head else prompter
    from tune.methods import METHODS

    most, virtual = positions(model_config), METHODS[config.method].kind in ("prefix", "prompt")
    longest = most - config.virtual_tokens * virtual if most else None
    return EncoderReader(tokenizer, model_config, config, words, longest)


class Labels:
    """The label of a sample, as its head learns it: the place of its class among the labels, or a number."""

    def __init__(self, config: Config, words: dict[str, str]) -> None:
        self.words, self.numbers = words, config.objective == "regress"
        self.places = {code: float(place) for place, code in enumerate(words)}
        self.read: Callable[[str], str | None] = label_reader(words) if words and not self.numbers else str

    def of(self, sample: Sample) -> float | None:
        """None for a row that asks for a text instead of its label, as some templates do.

        Raises UserError where the label is none of the run's, or (where scores are learnt) no number.
        """
        label = sample["meta"].get("label")
        if self.numbers:
            return self._number(sample, label)
        if str(label) not in self.places:
            raise UserError(
                f"sample {sample['meta']['id']}: 'label' in 'meta' must be one of {', '.join(self.places)}"
            )
        return self.places[str(label)] if self.read(sample["output"]) == str(label) else None

    @staticmethod
    def _number(sample: Sample, label: Any) -> float:
        try:
            value = float(label)
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            raise UserError(
                f"sample {sample['meta']['id']}: 'label' in 'meta' is {label!r}, no number; objective regress needs "
                'one in every labelled row (as 3.5 or "3.5"), and the same as the row\'s output'
            )
        return value

    def encoded(self, samples: Sequence[Sample], ids: Sequence[list[int]], seconds: Sequence[int]) -> list[Encoded]:
        """Samples of these ids; the last token stands for the label, that it be counted among what is learnt."""
        found = []
        for sample, own, second in zip(samples, ids, seconds, strict=True):
            if (label := self.of(sample)) is None:
                found.append(Encoded([], refused="empty"))
            else:
                found.append(Encoded(own, ((len(own) - 1, len(own)),), len(own), label=label, second=second))
        return found


class DecoderReader:
    """Reads the prompt that a causal model would answer. Other attributes are those of its prompter."""

    longest: int | None = None

    def __init__(self, prompter: Prompter, config: Config, words: dict[str, str]) -> None:
        self.prompter, self.labels = prompter, Labels(config, words)
        self.sha256 = _hash([prompter.sha256, config.objective, list(words.items())])

    def __getattr__(self, name: str) -> Any:
        return getattr(self.prompter, name)

    def encode(self, samples: Sequence[Sample]) -> list[Encoded]:
        """Each sample's prompt and label."""
        ids = self.prompter.prompt_ids(samples)
        return self.labels.encoded(samples, ids, [len(own) for own in ids])

    def read(self, samples: Sequence[Sample]) -> list[Encoded]:
        """Samples whose labels don't matter, as they are."""
        ids = self.prompter.prompt_ids(samples)
        return [Encoded(own, label=0.0, second=len(own)) for own in ids]


class EncoderReader:
    """Reads one text, or two as a pair. See the module.

    `longest`: tokens that a text may have, special ones included, None where the model's positions aren't counted.
    """

    source = "pair"
    stop_ids: tuple[int, ...] = ()

    def __init__(
        self, tokenizer: Any, model_config: Any, config: Config, words: dict[str, str], longest: int | None
    ) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise UserError(
                "the tokenizer has no tokenizer.json; save it once with a fast tokenizer of `transformers`"
            )
        self.tokenizer, self.labels, self.longest = tokenizer, Labels(config, words), longest
        self._backend = tokenizer.backend_tokenizer
        first = self._encode([("天", "地")])[0].ids[:1]
        if tokenizer.cls_token_id is None or first != [tokenizer.cls_token_id]:
            raise UserError(
                f"the tokenizer doesn't begin texts with its {tokenizer.cls_token or 'CLS token'}, which the head "
                "reads; take the model's own tokenizer, with its post-processor"
            )
        self.notes = []
        if longest is not None and longest < config.max_length:
            self.notes.append(f"the model has positions for {longest} tokens: a longer sample counts as too long")
        self.pad_id, self.unk_id = tokenizer.pad_token_id or 0, tokenizer.unk_token_id
        self.vocab_size: int | None = model_config.vocab_size
        self.tokenizer_sha256 = hashlib.sha256(plain_backend(self._backend).to_str().encode()).hexdigest()
        self.sha256 = _hash([self.source, config.objective, list(words.items())])

    def texts(self, sample: Sample) -> tuple[str, ...]:
        """The two of a pair, else the user's message."""
        fields = sample["meta"].get("fields") or {}
        is_pair = isinstance(fields.get("a"), str) and isinstance(fields.get("b"), str) and bool(fields["b"])
        return (fields["a"], fields["b"]) if is_pair else (user_text(sample),)

    def prompt_text(self, sample: Sample) -> str:
        """The texts, one a line."""
        return "\n".join(self.texts(sample))

    def prompt_ids(self, samples: Sequence[Sample]) -> list[list[int]]:
        """What the model reads, as ids; shortened where it has no more positions."""
        return [made.ids for made in self.read(samples)]

    def read(self, samples: Sequence[Sample]) -> list[Encoded]:
        """Samples whose labels don't matter; shortened where the model has no more positions."""
        return [self._fitted(sample) for sample in samples]

    def encode(self, samples: Sequence[Sample]) -> list[Encoded]:
        """Each sample's texts and label."""
        encodings = self._encode([self.texts(sample) for sample in samples])
        return self.labels.encoded(samples, [one.ids for one in encodings], [_second(one) for one in encodings])

    def shorten(self, sample: Sample, excess: int) -> Sample | None:
        """The sample without `excess` tokens (at least one) at the ends of its texts, each from the one that is then
        longer (`longest_first`, as transformers cuts a pair). None where it hasn't that many."""
        texts = self.texts(sample)
        offsets = [plain_backend(self._backend).encode(text, add_special_tokens=False).offsets for text in texts]
        left = [len(of) for of in offsets]
        for _ in range(max(excess, 1)):
            left[max(range(len(left)), key=lambda i: left[i])] -= 1
        if min(left) < 1:
            return None
        cut = [text[: of[n - 1][1]] for text, of, n in zip(texts, offsets, left, strict=True)]
        if len(cut) == 1:
            return {**sample, "instruction": cut[0], "input": ""}
        return {**sample, "meta": {**sample["meta"], "fields": {"a": cut[0], "b": cut[1]}}}

    def _fitted(self, sample: Sample) -> Encoded:
        shorter: Sample | None = sample
        while shorter is not None:
            (made,) = self._encode([self.texts(shorter)])
            excess = len(made.ids) - (self.longest or len(made.ids))
            if excess <= 0:
                return Encoded(made.ids, label=0.0, second=_second(made))
            sample, shorter = shorter, self.shorten(shorter, excess)
        raise UserError(f"sample {sample['meta']['id']}: its texts don't fit the model's {self.longest} positions")

    def _encode(self, texts: Sequence[tuple[str, ...]]) -> list[Any]:
        batch = [text if len(text) == 2 else text[0] for text in texts]
        return plain_backend(self._backend).encode_batch(batch, add_special_tokens=True)


def _second(encoding: Any) -> int:
    """Where the second text's tokens begin: from there on the types are 1."""
    types = encoding.type_ids
    return types.index(1) if 1 in types else len(types)


def _hash(said: Any) -> str:
    return hashlib.sha256(json.dumps(said, ensure_ascii=False).encode()).hexdigest()


Reader = DecoderReader | EncoderReader
