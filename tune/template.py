"""What a chat template makes of a conversation: its own jinja, and the same text without running it for every sample.

Templates put constant pieces around texts. A conversation of each *shape* (a system message or none, so many turns)
is rendered once with marks for texts and cut at the marks; the texts of a sample are then joined with the pieces.
Where a text could make the template do something else, jinja renders the sample itself: a text that is empty, begins
or ends in white space, or contains an added token of the tokenizer or any string that the template's code names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from tune.errors import UserError

#: Our own format for tokenizers without a chat template: text only, for base models, no tokens but BOS and EOS.
#: A message is its header on a line of its own and its text; an answer ends with the tokenizer's EOS.
PLAIN = (
    "{{ bos }}{% for message in messages %}"
    "{{ {'system': '【系统】', 'user': '【用户】', 'assistant': '【助手】'}[message['role']] + '\\n' }}"
    "{{ message['content'] }}{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '【助手】\\n' }}{% endif %}"
)
#: The first samples of a shape, and one in this many of the rest, are also rendered by jinja and compared.
COMPARED = 16
COMPARED_EVERY = 64

Message = dict[str, str]


@dataclass(frozen=True)
class Turn:
    """One sample as text: the prompt of inference, the answer as the template writes it, characters learnt earlier.

    `answer` is None where the template changes this sample's answer or an earlier turn; `earlier` are the spans of
    the assistant's turns in the prompt.
    """

    prompt: str
    answer: str | None
    earlier: tuple[tuple[int, int], ...] = ()


@dataclass
class Shape:
    """The constant pieces around a prompt's texts (one more than texts); None where texts don't come out as they are.

    `proved`: the whole conversation is the prompt, the answer and the tail, whatever the texts are.
    """

    pieces: tuple[str, ...] | None
    proved: bool
    seen: int = 0


class Template:
    """A tokenizer's chat template. Raises UserError where it refuses a conversation."""

    def __init__(self, tokenizer: Any) -> None:
        self.text: str = tokenizer.get_chat_template()
        self._tokenizer = tokenizer
        self._shapes: dict[tuple[bool, int], Shape] = {}
        added = (token.content for token in tokenizer.backend_tokenizer.get_added_tokens_decoder().values())
        self._named = re.compile("|".join(map(re.escape, _shortest(chain(added, _literals(self.text))))) or r"(?!)")
        self.tail = self._tail()

    def render(self, messages: Sequence[Message], generation: bool = False) -> str:
        """The text of a conversation by the template itself; with `generation`, up to where the model answers."""
        from jinja2 import TemplateError

        try:
            return self._tokenizer.apply_chat_template(
                list(messages), tokenize=False, add_generation_prompt=generation, enable_thinking=False
            )
        except TemplateError as error:
            cure = "use another model, or give its tokenizer another chat template"
            if messages[0]["role"] == "system":
                cure = 'if it takes no system message, `--set system=""` leaves it away'
            roles = ", ".join(message["role"] for message in messages)
            raise UserError(f"the chat template refuses a conversation of {roles} ({error}); {cure}") from None

    def prompt(self, messages: Sequence[Message]) -> str:
        """The text that inference begins with."""
        shape, texts = self.shape(messages), [message["content"] for message in messages]
        if shape.pieces is None or any(map(self._careful, texts)):
            return self.render(messages, generation=True)
        return _join(shape.pieces, texts)

    def turn(self, messages: Sequence[Message], answer: str) -> Turn | None:
        """The sample as text. None: the template does not write answers behind the prompt, so nothing is proved."""
        shape, texts = self.shape(messages), [message["content"] for message in messages]
        written: str | None = answer
        if shape.pieces is None or any(map(self._careful, (*texts, answer))):
            prompt = self.render(messages, generation=True)
            written = self._written(messages, prompt, answer)
            if written is None and not shape.proved:
                return None
        elif not shape.proved:
            return None
        else:
            prompt = _join(shape.pieces, texts)
            shape.seen += 1
            if shape.seen <= COMPARED or shape.seen % COMPARED_EVERY == 0:
                self._compare(messages, prompt, answer)
        if len(texts) <= 2:
            return Turn(prompt, written)
        earlier = _earlier(prompt, shape.pieces, texts, system=messages[0]["role"] == "system")
        return Turn(prompt, written, earlier) if earlier is not None else Turn(prompt, None)

    def shape(self, messages: Sequence[Message]) -> Shape:
        """The shape of a conversation that ends with the user."""
        key = (messages[0]["role"] == "system", len(messages))
        if key not in self._shapes:
            marked = [{"role": message["role"], "content": _mark(i)} for i, message in enumerate(messages)]
            prompt = self.render(marked, generation=True)
            answered = [*marked, {"role": "assistant", "content": _mark(len(marked))}]
            proved = self.render(answered) == prompt + _mark(len(marked)) + self.tail
            self._shapes[key] = Shape(_cut(prompt, [message["content"] for message in marked]), proved)
        return self._shapes[key]

    def pieces(self, turns: int) -> tuple[str, ...] | None:
        """The constants around the texts of a conversation without a system message after so many earlier turns."""
        roles = [*("user", "assistant") * turns, "user"]
        return self.shape([{"role": role, "content": ""} for role in roles]).pieces

    def _careful(self, text: str) -> bool:
        """Whether the template, or the tokenizer, could see more in a text than text."""
        stripped = text.strip()
        return not stripped or len(stripped) != len(text) or self._named.search(text) is not None

    def _compare(self, messages: Sequence[Message], prompt: str, answer: str) -> None:
        """Raises UserError where jinja says otherwise than the pieces."""
        if prompt != self.render(messages, generation=True) or self._written(messages, prompt, answer) != answer:
            raise UserError("the chat template treats this text otherwise than texts in general; use another template")

    def _written(self, messages: Sequence[Message], prompt: str, answer: str) -> str | None:
        """What stands between the prompt and the tail: the answer, less white space around it; else None."""
        whole = self.render([*messages, {"role": "assistant", "content": answer}])
        if not whole.startswith(prompt) or not whole.endswith(self.tail):
            return None
        written = whole[len(prompt) : len(whole) - len(self.tail)]
        return written if written in answer and written.strip() == answer.strip() else None

    def _tail(self) -> str:
        """What the template puts after an answer."""
        for user, answer in ((_mark(0), _mark(1)), ("你好", "好的")):
            whole = self.render([{"role": "user", "content": user}, {"role": "assistant", "content": answer}])
            if answer in whole:
                return whole.rpartition(answer)[2]
        raise UserError("the chat template leaves out or changes what the assistant says; use another one")


def _join(pieces: Sequence[str], texts: Sequence[str]) -> str:
    if len(texts) == 1:
        return pieces[0] + texts[0] + pieces[1]
    return "".join(chain.from_iterable(zip(pieces, texts, strict=False))) + pieces[-1]


def _mark(number: int) -> str:
    """Stands for a text: what a template may trim, escape, split or change the case of is all in it."""
    return f"\ue000{number}甲 Aa  \"'&\\\n乙\n\n\t丙{number}\ue001"


def _cut(text: str, marks: Sequence[str]) -> tuple[str, ...] | None:
    """The pieces between marks, where each mark occurs once and in order."""
    pieces = []
    for mark in marks:
        if text.count(mark) != 1:
            return None
        piece, _, text = text.partition(mark)
        pieces.append(piece)
    return (*pieces, text)


def _earlier(
    prompt: str, pieces: tuple[str, ...] | None, texts: Sequence[str], system: bool
) -> tuple[tuple[int, int], ...] | None:
    """The characters of the assistant's turns in a prompt; None where its texts are not found as they should be."""
    if pieces is None or not prompt.startswith(pieces[0]):
        return None
    spans, at = [], len(pieces[0])
    for text, piece in zip(texts, pieces[1:], strict=True):
        as_written = dict.fromkeys((text, text.strip(), text.lstrip(), text.rstrip(), text.strip("\n")))
        found = next((written for written in as_written if prompt.startswith(written + piece, at)), None)
        if found is None:
            return None
        spans.append((at, at + len(found)))
        at += len(found) + len(piece)
    return tuple(spans[1 + system :: 2]) if at == len(prompt) else None


def _literals(template: str) -> list[str]:
    """Every string in a template's code: a text that contains one may be what some condition looks for."""
    from jinja2 import Environment, TemplateError, nodes

    # `generation` is a tag of transformers' own: it marks the assistant's text and writes nothing.
    code = re.sub(r"\{%[-+]?\s*(end)?generation\s*[-+]?%\}", "", template)
    try:
        tree = Environment(extensions=["jinja2.ext.loopcontrols", "jinja2.ext.do"]).parse(code)
    except TemplateError as error:
        raise UserError(f"the tokenizer's chat template is no jinja template ({error}); mend or remove it") from None
    return [node.value for node in tree.find_all(nodes.Const) if isinstance(node.value, str)]


def _shortest(strings: Any) -> list[str]:
    """The strings that are more than white space and contain none of the others: whoever has one has these."""
    wanted = sorted({string for string in strings if string.strip()}, key=lambda string: (len(string), string))
    kept: list[str] = []
    for string in wanted:
        if not any(short in string for short in kept):
            kept.append(string)
    return kept
