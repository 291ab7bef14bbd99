"""The prompt: how a sample becomes tokens, and the proof that training sees what inference sees.

A prompt's ids are those of `tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True,
enable_thinking=False)`, special tokens that a user typed included. The answer's ids are what follows: the answer is
encoded behind the prompt's constant end (from its last added token on, at which every tokenizer cuts the text) and
followed by the template's end-of-turn token. So the prompt's ids are a prefix of the training ids by construction;
what is checked for every sample is that these are also the ids of the whole text: that the prompt's end encodes to
the same ids with the answer behind it as without, and that the template writes the answer just there.

A tokenizer without a chat template gets `template.PLAIN`, text only, and `notes` says so:

    【系统】
    你是一个乐于助人的助手。
    【用户】
    今天天气怎么样？
    【助手】
    很好。</s>
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tune.errors import UserError
from tune.template import PLAIN, Message, Template, Turn

#: Distinct answers remembered: label words are few, free texts are not worth keeping.
REMEMBERED = 50_000
#: What a user says where only the template is looked at.
PROBE = "天地玄黄"


@dataclass(frozen=True, slots=True)
class Encoded:
    """One sample: ids, the (start, stop) spans of learnt tokens, the number of prompt tokens.

    A sample that can't be learnt has no ids, and `refused` says why: "empty" (no answer token), "special" (a special
    token in what is to be learnt would end the turn early), "rewritten" (the template changes the answer or an
    earlier turn).

    With a head (tune/reader.py), label: the class or score; second: where an encoder's second text begins.
    """

    ids: list[int]
    learn: tuple[tuple[int, int], ...] = ()
    prompt: int = 0
    refused: str = ""
    label: float | None = None
    second: int = 0


def make_prompter(
    tokenizer: Any, model_config: Any = None, system: str | None = None, generation_config: Any = None
) -> Prompter:
    """The prompter of a tokenizer and the configurations of its model.

    `system`: a system message for samples that have none of their own; "" leaves theirs away too. A tokenizer without
    a chat template gets the plain one. Raises UserError where BOS or end-of-turn tokens can't be right, with the cure.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise UserError("the tokenizer has no tokenizer.json; save it once with a fast tokenizer of `transformers`")
    plain = not tokenizer.chat_template
    if plain:
        if tokenizer.eos_token is None:
            raise UserError("the tokenizer has neither a chat template nor an EOS token; set its eos_token")
        bos = "{{ bos_token }}" if _adds_bos(tokenizer) else ""
        tokenizer.chat_template = PLAIN.replace("{{ bos }}", bos)
    prompter = Prompter(tokenizer, model_config, system, generation_config)
    if plain:
        prompter.source = "plain"
        prompter.notes.insert(0, "the tokenizer has no chat template: prompts are plain text (【用户】 … 【助手】 …)")
    return prompter


class Prompter:
    """Turns samples into ids and ids into answers. See the module; made by `make_prompter`.

    `end_id`: the token that ends an answer, learnt like the answer; `stop_ids`: where generation stops, `end_id`
    first; `pad_id` may equal one of them: what is learnt is a matter of spans, never of ids. `longest`: tokens that a
    text may have at most, where the model has positions for no more; never of a causal model's.
    """

    longest: int | None = None

    def __init__(self, tokenizer: Any, model_config: Any, system: str | None, generation_config: Any) -> None:
        self.source = "tokenizer"
        self.notes: list[str] = []
        self.tokenizer, self.system = tokenizer, system
        self.template = Template(tokenizer)
        self._backend = tokenizer.backend_tokenizer
        self._added = self._backend.get_added_tokens_decoder()
        text = self.template.render([{"role": "user", "content": PROBE}], generation=True)
        self._anchor, self._anchored = self._find_anchor(text.rpartition(PROBE)[2])
        self._anchor_ids = self._encode([self._anchor])[0]
        self._end, self.end_id = self._find_end()
        self._known: dict[str, tuple[list[int], str]] = {}
        configs = (generation_config, model_config)
        self._check_bos(text, model_config)
        stops = set().union(*(_ids(config, "eos_token_id") for config in configs))
        if stops and self.end_id not in stops:
            ends = ", ".join(repr(tokenizer.decode([i])) for i in sorted(stops))
            self.notes.append(f"the model's settings stop at {ends}, its chat template ends turns with {self._end!r}")
        stops |= {tokenizer.eos_token_id} - {None}
        self.stop_ids: tuple[int, ...] = (self.end_id, *sorted(stops - {self.end_id}))
        pads = (tokenizer.pad_token_id, tokenizer.eos_token_id, self.end_id)
        self.pad_id: int = next(i for i in pads if i is not None)
        # Some tokenizers that know every byte name their end of text as the unknown token.
        unknown = {tokenizer.unk_token_id} - {None, tokenizer.bos_token_id, *self.stop_ids, *pads}
        self.unk_id: int | None = min(unknown, default=None)
        self.vocab_size: int | None = min(_ids(model_config, "vocab_size"), default=None)
        self._special = {i for i, token in self._added.items() if token.special} - unknown | {*self.stop_ids}
        self._describe_template()
        said = [self.template.text, system, text, self._anchor, self._end, self.stop_ids]
        self.sha256 = hashlib.sha256(json.dumps(said).encode()).hexdigest()
        self.tokenizer_sha256 = hashlib.sha256(plain_backend(self._backend).to_str().encode()).hexdigest()

    # --- samples as messages and text

    def messages(self, sample: dict[str, Any]) -> list[Message]:
        """The conversation up to the user's last message: system, earlier turns, instruction and input."""
        system = "" if self.system == "" else sample.get("system") or self.system
        messages: list[Message] = [{"role": "system", "content": system}] if system else []
        for user, assistant in sample.get("history") or ():
            messages += ({"role": "user", "content": user}, {"role": "assistant", "content": assistant})
        messages.append({"role": "user", "content": user_text(sample)})
        return messages

    def prompt_text(self, sample: dict[str, Any]) -> str:
        """What inference sees, as text."""
        return self.template.prompt(self.messages(sample))

    def prompt_ids(self, samples: Sequence[dict[str, Any]]) -> list[list[int]]:
        """What inference sees, as ids."""
        return self._encode([self.prompt_text(sample) for sample in samples])

    def shorten(self, sample: dict[str, Any], excess: int) -> dict[str, Any] | None:
        """The sample without about `excess` tokens (at least one) in the middle of its user's text, which is where
        least is lost: instructions and questions stand at its ends. None where it hasn't that many to spare."""
        text = user_text(sample)
        offsets = plain_backend(self._backend).encode(text, add_special_tokens=False).offsets
        left = len(offsets) - max(excess, 1)
        if left <= 0:
            return None
        start = offsets[(left + 1) // 2][0]
        stop = offsets[len(offsets) - left // 2][0] if left > 1 else len(text)
        return {**sample, "instruction": text[:start] + text[max(stop, start + 1) :], "input": ""}

    # --- samples as ids

    def encode(self, samples: Sequence[dict[str, Any]]) -> list[Encoded]:
        """Each sample's prompt, answer and end of turn. Raises UserError, naming the sample, where the proof fails."""
        turns = [self._turn(sample) for sample in samples]
        prompts, earlier = self._prompts(turns)
        known = self._answers({turn.answer for turn in turns if turn.answer is not None})
        encoded = []
        for i, (sample, turn, prompt_ids) in enumerate(zip(samples, turns, prompts, strict=True)):
            if turn.answer is None:
                encoded.append(Encoded([], refused="rewritten"))
                continue
            answer_ids, wrong = known[turn.answer]
            if wrong == "merged" or (self._anchored and prompt_ids[-len(self._anchor_ids) :] != self._anchor_ids):
                raise self._unproved(sample, turn.prompt, turn.prompt + turn.answer + self._end, prompt_ids)
            if wrong or any(self._ends_early(prompt_ids[start:stop]) for start, stop in earlier.get(i, ())):
                encoded.append(Encoded([], refused=wrong or "special"))
                continue
            ids = prompt_ids + answer_ids
            encoded.append(Encoded(ids, (*earlier.get(i, ()), (len(prompt_ids), len(ids))), len(prompt_ids)))
        if not self._anchored:
            self._check_whole(samples, turns, encoded)
        return encoded

    def encode_answers(self, prompt_ids: list[int], answers: Sequence[str]) -> list[list[int]]:
        """The prompt with each of the answers and its end of turn, to compare their likelihoods."""
        known = self._answers(set(answers))
        for answer in answers:
            if wrong := known[answer][1]:
                raise UserError(f"the answer {answer!r} can't be compared: {_WHY[wrong]}; use another label word")
        return [prompt_ids + known[answer][0] for answer in answers]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of an answer: up to the first token that stops, without special tokens and outer white space."""
        ids = [int(i) for i in ids]
        stop = next((at for at, i in enumerate(ids) if i in self.stop_ids), len(ids))
        text = self.tokenizer.decode(ids[:stop], skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text.strip()

    # --- how

    def _encode(self, texts: list[str]) -> list[list[int]]:
        batch = plain_backend(self._backend).encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in batch]

    def _turn(self, sample: dict[str, Any]) -> Turn:
        """The sample as text; raises UserError, naming it, where the template doesn't put answers behind prompts."""
        messages, answer = self.messages(sample), sample["output"]
        try:
            turn = self.template.turn(messages, answer)
        except UserError as error:
            raise UserError(f"sample {sample['meta']['id']}: {error}") from None
        if turn is None:
            prompt = self.template.render(messages, generation=True)
            whole = self.template.render([*messages, {"role": "assistant", "content": answer}])
            raise self._unproved(sample, prompt, whole, self._encode([prompt + answer + self._end])[0])
        return turn

    def _answers(self, answers: set[str]) -> dict[str, tuple[list[int], str]]:
        """The ids of each answer behind the anchor, and what is wrong with it; they are remembered.

        Samples are encoded by two threads: what one needs is taken out before the other may forget it.
        """
        known = {answer: told for answer in answers if (told := self._known.get(answer))}
        new = sorted(answers - known.keys())
        if len(self._known) + len(new) > REMEMBERED:
            self._known = {}
        cut = len(self._anchor_ids)
        nothing = self._encode([self._anchor + self._end])[0]
        for answer, ids in zip(new, self._encode([self._anchor + a + self._end for a in new]), strict=True):
            wrong = ""
            if not answer.strip() or ids == nothing:
                wrong = "empty"
            elif ids[:cut] != self._anchor_ids:
                wrong = "merged"
            elif self._ends_early(ids[cut:]):
                wrong = "special"
            known[answer] = (ids[cut:], wrong)
        self._known |= {answer: known[answer] for answer in new}
        return known

    def _ends_early(self, ids: list[int]) -> bool:
        """Whether a learnt turn has a special token before its last."""
        return not self._special.isdisjoint(ids[:-1])

    def _prompts(self, turns: list[Turn]) -> tuple[list[list[int]], dict[int, tuple[tuple[int, int], ...]]]:
        """The ids of each prompt, and for samples with earlier turns the spans of those, ends of turn included."""
        talks = {i for i, turn in enumerate(turns) if turn.earlier}
        single = iter(self._encode([turn.prompt for i, turn in enumerate(turns) if i not in talks]))
        # Offsets cost a third more.
        batch = [turns[i].prompt for i in sorted(talks)]
        found = iter(plain_backend(self._backend).encode_batch(batch, add_special_tokens=False))
        prompts, spans = [], {}
        for i, turn in enumerate(turns):
            if i in talks:
                encoding = next(found)
                prompts.append(encoding.ids)
                spans[i] = tuple(self._token_span(turn.prompt, encoding.offsets, *span) for span in turn.earlier)
            else:
                prompts.append(next(single))
        return prompts, spans

    def _token_span(self, prompt: str, offsets: list[tuple[int, int]], start: int, stop: int) -> tuple[int, int]:
        """The tokens of the characters from start to stop, and of the end of turn behind them."""
        if prompt.startswith(self._end, stop):
            stop += len(self._end)
        first, last = bisect_left(offsets, (start, 0)), bisect_left(offsets, (stop, 0))
        # A tokenizer that trims offsets lets white space before the text seem to begin with it.
        while first < last and offsets[first][1] <= start:
            first += 1
        return first, last

    # --- what must be true

    def _find_anchor(self, header: str) -> tuple[str, bool]:
        """The end of every prompt, from its last added token on, and whether it has one; else all that is constant."""
        encoding = plain_backend(self._backend).encode(header, add_special_tokens=False)
        starts = [start for i, (start, _) in zip(encoding.ids, encoding.offsets, strict=True) if i in self._added]
        return (header[starts[-1] :], True) if starts else (header, False)

    def _find_end(self) -> tuple[str, int]:
        """What ends an answer, and the id of its last token: the first added token behind an answer."""
        pieces = self.template.pieces(1)
        tail = self.template.tail
        if not tail and pieces:  # GLM: nothing ends the last turn, an earlier one is ended by the next one's header
            tail = pieces[2]
        encoding = plain_backend(self._backend).encode(tail, add_special_tokens=False)
        for i, (_, stop) in zip(encoding.ids, encoding.offsets, strict=True):
            if i in self._added:
                return tail[:stop], i
        raise UserError(
            f"the chat template ends an answer with {tail!r}, which holds no special token of the tokenizer, so the "
            "model would never learn to stop; put {{ eos_token }} behind the assistant's content in the template"
        )

    def _check_bos(self, prompt: str, model_config: Any) -> None:
        """BOS as the tokenizer and the model agree: the same id, there where it is needed, and once."""
        bos, expected = self.tokenizer.bos_token_id, _ids(model_config, "bos_token_id")
        if bos is None:
            return
        ids = self._encode([prompt])[0]
        name = self.tokenizer.bos_token
        if expected and bos not in expected:
            raise UserError(
                f"the tokenizer's BOS {name!r} has id {bos}, the model's config says {min(expected)}; "
                "set bos_token_id in config.json, or bos_token in tokenizer_config.json, so that they agree"
            )
        if ids[:1] != [bos] and _adds_bos(self.tokenizer):
            raise UserError(
                f"the model's texts begin with {name!r}, prompts of its chat template don't; "
                "begin the template with {{ bos_token }}"
            )
        if ids[:2] == [bos, bos]:
            raise UserError(
                f"prompts begin with {name!r} twice; take {{{{ bos_token }}}} out of the chat template once"
            )

    def _check_whole(self, samples: Sequence[dict[str, Any]], turns: list[Turn], encoded: list[Encoded]) -> None:
        """Where no added token stands between prompt and answer, only the whole text can say how it is encoded."""
        kept = [i for i, sample in enumerate(encoded) if not sample.refused]
        wholes = [turns[i].prompt + (turns[i].answer or "") + self._end for i in kept]
        for i, whole, ids in zip(kept, wholes, self._encode(wholes), strict=True):
            if ids != encoded[i].ids:
                raise self._unproved(samples[i], turns[i].prompt, whole, encoded[i].ids)

    def _unproved(self, sample: dict[str, Any], prompt: str, whole: str, inference_ids: list[int]) -> UserError:
        """The error that shows where training would part from inference."""
        training_ids = self._encode([whole])[0]
        pairs = zip(inference_ids, training_ids, strict=False)
        at = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(inference_ids), len(training_ids)))
        shown = slice(max(at - 4, 0), at + 4)
        inference, training = (self._tokens(ids[shown]) for ids in (inference_ids, training_ids))
        return UserError(
            f"sample {sample['meta']['id']}: training would not continue the prompt of inference: from token "
            f"{shown.start} on inference has {inference}, training {training}; give the tokenizer a chat template "
            "that writes the answer just behind its generation prompt, and strip white space before answers"
        )

    def _tokens(self, ids: list[int]) -> list[str]:
        return [self.tokenizer.decode([i], clean_up_tokenization_spaces=False) for i in ids]

    def _without_added(self, text: str) -> str:
        for token in sorted((token.content for token in self._added.values()), key=len, reverse=True):
            text = text.replace(token, " ")
        return text

    def _describe_template(self) -> None:
        """Notes on what a template does that its user may not expect."""
        if "strftime_now" in self.template.text:
            self.notes.append("the chat template writes today's date: prompts differ from day to day")
        if (pieces := self.template.pieces(1)) is None:
            self.notes.append("the chat template changes texts: every sample is rendered by itself, which is slow")
            return
        first, later = (self._without_added(piece) for piece in (pieces[0], pieces[2]))
        own = first.removesuffix(_common_end(first, later))
        if own.strip():
            self.notes.append(f"without a system message the chat template writes its own: {' '.join(own.split())!r}")
        if pieces[1] != pieces[3]:
            self.notes.append(f"before earlier answers stands {pieces[1]!r}, before the one asked for {pieces[3]!r}")


_WHY = {
    "empty": "it has no token",
    "special": "it contains a special token",
    "merged": "its first characters merge with the prompt's last",
}


def plain_backend(backend: Any) -> Any:
    """The tokenizer in Rust. Padding and truncation are state in it, which any other call may have left there."""
    # Only where needed: while another thread encodes, the tokenizer can be read but not changed.
    if backend.padding is not None:
        backend.no_padding()
    if backend.truncation is not None:
        backend.no_truncation()
    return backend


def user_text(sample: dict[str, Any]) -> str:
    """The user's message: the non-empty ones of instruction and input, joined by a newline."""
    return "\n".join(part for part in (sample["instruction"], sample["input"]) if part)


def _adds_bos(tokenizer: Any) -> bool:
    """Whether the tokenizer puts BOS before a plain text, so that the model was trained with it."""
    return tokenizer.bos_token_id is not None and tokenizer("你好")["input_ids"][:1] == [tokenizer.bos_token_id]


def _ids(config: Any, key: str) -> set[int]:
    """The ids a configuration names, of a model of several parts those of its text model; none where it names none."""
    value = getattr(config, key, None)
    if value is None and config is not None and hasattr(config, "get_text_config"):
        value = getattr(config.get_text_config(), key, None)
    if value is None:
        return set()
    return {int(i) for i in value} if isinstance(value, (list, tuple)) else {int(value)}


def _common_end(first: str, second: str) -> str:
    """The longest text with which both end."""
    size = 0
    while size < min(len(first), len(second)) and first[-1 - size] == second[-1 - size]:
        size += 1
    return first[len(first) - size :]
