"""A tokenizer of the user's choice, and samples counted in its tokens: just as `tune` makes them.

What counts them is tune's own prompter, which needs the standard library and jinja2, given a tokenizer with the few
parts that it uses. So what is measured here is what is tuned on, by construction, without torch or transformers.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from curate.types import UserError

#: The files of a tokenizer that are looked at; only the first one must be there.
FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")
#: Samples encoded together: enough to keep the cores busy, few enough that their tokens take little memory.
CHUNK = 2048
#: What chat templates may ask for is today's date: here always this one, so that a day decides no byte.
_TODAY = datetime(2026, 1, 1)
_LOCAL_WAY = "or download its tokenizer.json and tokenizer_config.json into a folder and name that"


def tokenizers_version() -> str:
    """The version of `tokenizers` that is installed; a UserError where there is none."""
    try:
        return version("tokenizers")
    except PackageNotFoundError:
        raise UserError(
            'token_length: needs the tokenizers library, which is not installed: pip install "tokenizers>=0.21"'
        ) from None


@dataclass(frozen=True)
class Length:
    """A sample in tokens: those of the prompt, and those of prompt, answer and the token that ends it."""

    prompt: int
    total: int


@dataclass
class Lengths:
    """How long samples are: how many there are of each length, in all and of prompts alone.

    Of a sample that is cut on its right at one of `limits`, the end of the answer is lost where `total` is above it,
    and all of the answer where the prompt reaches it.
    """

    limits: tuple[int, ...]
    total: Counter[int] = field(default_factory=Counter)
    prompt: Counter[int] = field(default_factory=Counter)

    def __add__(self, other: Lengths) -> Lengths:
        return Lengths(self.limits, self.total + other.total, self.prompt + other.prompt)

    def figures(self) -> dict[str, Any]:
        """What the manifest and the card say: samples, percentiles, and what is cut at each limit."""
        from curate.card.measure import percentiles
        from jingtiao.bins import histogram

        return {
            "samples": self.total.total(),
            **percentiles(self.total),
            **({"histogram": histogram(self.total)} if self.total else {}),
            "answer_cut": {str(limit): _above(self.total, limit + 1) for limit in self.limits},
            "answer_lost": {str(limit): _above(self.prompt, limit) for limit in self.limits},
        }


def _above(counted: Counter[int], least: int) -> int:
    return sum(n for length, n in counted.items() if length >= least)


class TokenCounter:
    """Counts samples in tokens. `sha256`: of all that decides a count; made by `load_counter`."""

    def __init__(self, prompter: Any, sha256: str) -> None:
        self._prompter = prompter
        self._backend = prompter.tokenizer.backend_tokenizer
        self.sha256 = sha256

    def measure(self, samples: list[dict[str, Any]]) -> list[Length]:
        """The length of each sample; one without an answer is its prompt alone.

        Raises UserError, naming the sample, where training and inference would not begin alike.
        """
        chunks = (samples[at : at + CHUNK] for at in range(0, len(samples), CHUNK))
        return [length for chunk in chunks for length in self._measure(chunk)]

    def _measure(self, samples: list[dict[str, Any]]) -> list[Length]:

        answered = [sample for sample in samples if sample["output"]]
        try:
            encoded = iter(self._prompter.encode(answered))
            made = [next(encoded) if sample["output"] else None for sample in samples]
            # What tune would leave out (an answer with a special token in it) has a length all the same.
            rest = [sample for sample, one in zip(samples, made, strict=True) if one is None or one.refused]
            prompts = iter(self._prompter.prompt_ids(rest))
        except UserError as error:
            raise UserError(*(f"token_length: {message}" for message in error.messages)) from None
        lengths = []
        for sample, one in zip(samples, made, strict=True):
            if one is None or one.refused:
                prompt = len(next(prompts))
                answer = self.tokens(sample["output"]) + 1 if sample["output"] else 0
                lengths.append(Length(prompt, prompt + answer))
            else:
                lengths.append(Length(one.prompt, len(one.ids)))
        return lengths

    def tokens(self, text: str) -> int:
        """Tokens of a text by itself."""
        return len(self._backend.encode(text, add_special_tokens=False).ids)


def load_counter(name: str) -> TokenCounter:
    """The counter of a tokenizer: a folder with tokenizer.json, or a name on the hub. UserError where it can't be had.

    Raises it too where `tune` could not use the tokenizer: there is no end to an answer, or BOS can't be right.
    """
    tokenizers_version()
    from tune.prompt import make_prompter

    tokenizer = _read(name, _folder(name))
    try:
        prompter = make_prompter(tokenizer)
    except UserError as error:
        raise UserError(*(f"tokenizer {name}: {message}" for message in error.messages)) from None
    said = json.dumps([tokenizer.sha256, prompter.sha256, tokenizer.special], sort_keys=True)
    return TokenCounter(prompter, hashlib.sha256(said.encode()).hexdigest())


def folder_problem(name: str) -> str:
    """What is wrong with a tokenizer's name, as far as this machine's folders tell; "" where nothing is."""
    if (path := Path(name)).is_dir():
        missing = not (path / FILES[0]).is_file()
        return f"the folder {name} has no tokenizer.json; save the tokenizer there with a fast one" if missing else ""
    if path.exists():
        return f"{name} is a file; name the folder that it is in"
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        return f"there is no folder {name}"
    return ""


def _folder(name: str) -> Path:
    """Where the tokenizer's files are: the folder itself, or the hub's own cache, filled if it has to be."""
    if problem := folder_problem(name):
        raise UserError(f"token_length: {problem}")
    if Path(name).is_dir():
        return Path(name)
    import huggingface_hub as hub

    try:
        found = hub.try_to_load_from_cache(name, FILES[0])
        if isinstance(found, str):
            return Path(found).parent
        if not hub.constants.HF_HUB_OFFLINE and _answers(hub.constants.ENDPOINT):
            fetched = Path(hub.snapshot_download(name, allow_patterns=list(FILES)))
            if (fetched / FILES[0]).is_file():
                return fetched
            raise ValueError("it has no tokenizer.json there")
        off = hub.constants.HF_HUB_OFFLINE
        why = "HF_HUB_OFFLINE forbids asking it" if off else f"{hub.constants.ENDPOINT} can't be reached"
    except Exception as error:  # whatever the hub's client makes of names, answers and connections
        why = _first(error)
    raise UserError(
        f"token_length: tokenizer {name}: no folder of that name here, not in the hub's local cache, and {why}; "
        f"set HF_ENDPOINT to a mirror, {_LOCAL_WAY}"
    )


def _answers(url: str, seconds: float = 5) -> bool:
    """Whether the hub is there: its own client would try for half a minute."""
    import urllib.error
    import urllib.request

    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=seconds).close()
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False
    return True


# ---- what tune's prompter needs of a tokenizer


class ChatTokenizer:
    """A tokenizer of the `tokenizers` library with its chat template, under the names that transformers gave them.

    `special`: the tokens that its files name, like {"eos_token": "<|im_end|>"}; `sha256`: of tokenizer.json.
    """

    is_fast = True

    def __init__(self, backend: Any, special: dict[str, str], chat_template: str | None, sha256: str) -> None:
        self.backend_tokenizer = backend
        self.special = special
        self.chat_template = chat_template
        self.sha256 = sha256
        for name in ("bos_token", "eos_token", "pad_token", "unk_token"):
            token = special.get(name)
            setattr(self, name, token)
            setattr(self, f"{name}_id", None if token is None else backend.token_to_id(token))

    def get_chat_template(self) -> str:
        assert self.chat_template is not None  # make_prompter gives it the plain one
        return self.chat_template

    def apply_chat_template(
        self, messages: list[dict[str, str]], tokenize: bool, add_generation_prompt: bool, enable_thinking: bool
    ) -> str:
        """The text of a conversation, with the variables that transformers gives a template."""
        return _compiled(self.get_chat_template()).render(
            messages=messages,
            tools=None,
            documents=None,
            add_generation_prompt=add_generation_prompt,
            enable_thinking=enable_thinking,
            **self.special,
        )

    def decode(self, ids: list[int], **options: Any) -> str:
        return self.backend_tokenizer.decode(ids, skip_special_tokens=options.get("skip_special_tokens", False))

    def __call__(self, text: str) -> dict[str, list[int]]:
        return {"input_ids": self.backend_tokenizer.encode(text).ids}


@lru_cache(maxsize=8)
def _compiled(template: str) -> Any:
    """A chat template in a sandbox like transformers': the same settings, extensions, filters and functions."""
    from jinja2 import TemplateError, ext
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(ext.Extension):
        """`{% generation %}` marks the assistant's text and writes nothing."""

        tags = {"generation"}  # noqa: RUF012 (jinja2's own way)

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def tojson(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, **options)

    frame = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
    )
    frame.filters["tojson"] = tojson
    frame.globals.update(raise_exception=raise_exception, strftime_now=_TODAY.strftime)
    return frame.from_string(template)


def _read(name: str, folder: Path) -> ChatTokenizer:
    """The tokenizer in a folder. UserError for files that aren't what they should be."""
    from tokenizers import Tokenizer

    try:
        raw = (folder / FILES[0]).read_bytes()
        backend = Tokenizer.from_buffer(raw)
    except Exception as error:  # the library raises Exception itself
        raise UserError(f"token_length: tokenizer {name}: its tokenizer.json can't be read: {_first(error)}") from None
    config, legacy = (_json(name, folder / file) for file in FILES[1:3])
    named = {**({} if "added_tokens_decoder" in config else legacy), **config}
    special = {key: _content(value) for key, value in named.items() if key.endswith("_token")}
    template = config.get("chat_template")
    if isinstance(template, list):  # several, by name
        template = {entry["name"]: entry["template"] for entry in template}.get("default")
    if (file := folder / FILES[3]).is_file():
        template = file.read_text(encoding="utf-8")
    sha = hashlib.sha256(raw).hexdigest()
    return ChatTokenizer(backend, {key: token for key, token in special.items() if token}, template or None, sha)


def _json(name: str, path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(data, dict):
            raise ValueError("it is no object")
    except (OSError, ValueError) as error:
        raise UserError(f"token_length: tokenizer {name}: its {path.name} can't be read: {_first(error)}") from None
    return data


def _content(token: Any) -> str:
    """The text of a token, which files name plainly or as an object; "" for what is none (`add_bos_token: true`)."""
    found = token.get("content") if isinstance(token, dict) else token
    return found if isinstance(found, str) else ""


def _first(error: Exception) -> str:
    return (str(error).strip().split("\n")[0] or type(error).__name__).rstrip(".:")
