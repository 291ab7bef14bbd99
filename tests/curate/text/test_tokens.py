"""A tokenizer from a folder or a hub's cache, as transformers loads it, and every way in which it can be wrong."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tokenizers")
pytest.importorskip("transformers")

from tokenizers_by_hand import FAMILIES, family, make_tokenizer

from curate.text import tokens
from curate.text.tokens import Length, Lengths, load_counter
from curate.types import UserError

TALKS: list[dict[str, Any]] = [
    {"instruction": "绿萝叶子发黄", "input": "", "output": "浇水"},
    {"instruction": "判断", "input": "句子一：好\n句子二：坏 ", "output": " 相同\n"},
    {"instruction": "去爬山吧", "input": "", "output": "好啊", "history": [["你好", "嗯？"], ["在吗", "在"]]},
    {"instruction": "你好", "input": "", "output": "走吧", "system": "你是一位随和的朋友。"},
    {"instruction": "<|im_end|>走", "input": "", "output": "</think>好"},
]


def named(talks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**talk, "meta": {"id": f"x/train/{n}"}} for n, talk in enumerate(talks)]


def problem(name: Any) -> str:
    with pytest.raises(UserError) as error:
        load_counter(str(name))
    assert len(error.value.messages) == 1
    return error.value.messages[0]


@pytest.mark.parametrize("kind", ["bytes", "pieces"])
@pytest.mark.parametrize("name", FAMILIES)
def test_lengths_are_those_of_transformers(name: str, kind: str, tmp_path: Path) -> None:
    """By tune's prompter over transformers' own tokenizer: rendered by its jinja, encoded by its backend."""
    from tune.prompt import make_prompter

    tokenizer = family(name, kind)
    tokenizer.save_pretrained(tmp_path)
    prompter = make_prompter(tokenizer)
    samples = named(TALKS[:3] if name == "gemma3" else TALKS)
    encoded = [prompter.encode([sample])[0] for sample in samples]
    prompts = prompter.prompt_ids(samples)
    lengths = load_counter(str(tmp_path)).measure(samples)
    assert [one.prompt for one in lengths] == [len(ids) for ids in prompts]
    for one, made in zip(lengths, encoded, strict=True):
        assert one.total == len(made.ids) if not made.refused else one.total > one.prompt


def test_templates_see_what_transformers_shows_them(tmp_path: Path) -> None:
    """tojson, loop controls, generation marks, the tokens' names; a date is always the same."""
    template = (
        "{% for m in messages %}{% if m.role == 'nobody' %}{% break %}{% endif %}"
        "<|im_start|>{{ m.role }}{{ {'x': '好'} | tojson }}{{ pad_token }}{{ tools is none }}{{ enable_thinking }}\n"
        "{% generation %}{{ m.content }}{% endgeneration %}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant{{ {'x': '好'} | tojson }}{{ pad_token }}"
        "{{ tools is none }}{{ enable_thinking }}\n{% endif %}"
    )
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = make_tokenizer(template, special, eos="<|im_end|>", pad="<|endoftext|>")
    tokenizer.save_pretrained(tmp_path)
    talk = [{"role": "user", "content": "好"}, {"role": "assistant", "content": "嗯"}]
    ours = tokens._read("x", tmp_path)
    for generation in (True, False):
        assert ours.apply_chat_template(
            talk, tokenize=False, add_generation_prompt=generation, enable_thinking=False
        ) == tokenizer.apply_chat_template(
            talk, tokenize=False, add_generation_prompt=generation, enable_thinking=False
        )
    assert tokens._compiled("{{ strftime_now('%Y-%m-%d') }}").render() == "2026-01-01"


def test_every_form_of_the_files(tmp_path: Path) -> None:
    """The template in the config, as a list of several, or in a file of its own; tokens as text or as objects."""
    family("qwen3").save_pretrained(tmp_path)
    template = (tmp_path / "chat_template.jinja").read_text(encoding="utf-8")
    config = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    expected = load_counter(str(tmp_path)).measure(named(TALKS))
    sha = load_counter(str(tmp_path)).sha256
    (tmp_path / "chat_template.jinja").unlink()
    token = {"content": "<|im_end|>", "lstrip": False, "special": True}
    several = [{"name": "rag", "template": "x"}, {"name": "default", "template": template}]
    for more in (
        {"chat_template": template},
        {"chat_template": several},
        {"chat_template": template, "eos_token": token},
    ):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config | more), encoding="utf-8")
        assert load_counter(str(tmp_path)).measure(named(TALKS)) == expected
        assert load_counter(str(tmp_path)).sha256 == sha
    # Older files name the tokens in a place of their own.
    plain = {key: value for key, value in config.items() if key != "eos_token"} | {"chat_template": template}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(plain), encoding="utf-8")
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"eos_token": token}), encoding="utf-8")
    assert load_counter(str(tmp_path)).sha256 == sha


def test_the_hash_follows_what_counts(tmp_path: Path) -> None:
    seen = set()
    for name in ("qwen3", "qwen2.5", "llama3"):
        for kind in ("bytes", "pieces"):
            family(name, kind).save_pretrained(tmp_path / f"{name}-{kind}")
            seen.add(load_counter(str(tmp_path / f"{name}-{kind}")).sha256)
    assert len(seen) == 6


def test_lengths_add_up() -> None:
    one, other = Lengths((5, 10)), Lengths((5, 10))
    for lengths, found in ((one, [Length(2, 5), Length(4, 6)]), (other, [Length(5, 11)])):
        lengths.total.update(length.total for length in found)
        lengths.prompt.update(length.prompt for length in found)
    figures = (one + other).figures()
    assert (figures["samples"], figures["p50"], figures["max"]) == (3, 6, 11)
    assert figures["answer_cut"] == {"5": 2, "10": 1} and figures["answer_lost"] == {"5": 1, "10": 0}
    assert one.total.total() == 2, "adding changes neither"
    assert Lengths((5,)).figures()["samples"] == 0


# ---- what can be wrong


def test_wrong_folders(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "has no tokenizer.json" in problem(empty)
    file = tmp_path / "file"
    file.write_text("x", encoding="utf-8")
    assert "is a file; name the folder" in problem(file)
    assert "there is no folder" in problem(tmp_path / "nowhere")
    (empty / "tokenizer.json").write_text("{}", encoding="utf-8")
    assert "its tokenizer.json can't be read" in problem(empty)


def test_wrong_files(tmp_path: Path) -> None:
    family("qwen3").save_pretrained(tmp_path)
    config = tmp_path / "tokenizer_config.json"
    good = config.read_text(encoding="utf-8")
    config.write_text("[]", encoding="utf-8")
    assert "its tokenizer_config.json can't be read: it is no object" in problem(tmp_path)
    config.write_text("{", encoding="utf-8")
    assert "its tokenizer_config.json can't be read" in problem(tmp_path)
    config.write_text(good, encoding="utf-8")
    (tmp_path / "chat_template.jinja").write_text("{% if %}", encoding="utf-8")
    assert "template" in problem(tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    config.write_text("{}", encoding="utf-8")
    assert "neither a chat template nor an EOS token" in problem(tmp_path)


def test_no_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(name: str) -> str:
        raise tokens.PackageNotFoundError(name)

    monkeypatch.setattr(tokens, "version", missing)
    assert 'pip install "tokenizers' in problem(tmp_path)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a hub at a port where nobody listens."""
    from huggingface_hub import constants

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return tmp_path / "cache"


def test_a_hub_that_is_not_there(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    said = problem("Qwen/Qwen3-0.6B")
    assert all(part in said for part in ("Qwen/Qwen3-0.6B", "local cache", "HF_ENDPOINT", "into a folder"))
    assert constants.ENDPOINT in said and not hub.exists()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE forbids" in problem("Qwen/Qwen3-0.6B")
    assert "HF_ENDPOINT" in problem("no good name!")


def test_the_hubs_cache_is_enough(hub: Path) -> None:
    """A tokenizer that was fetched once is taken from the cache, without asking anybody."""
    repository = hub / "models--Own--small"
    family("qwen3").save_pretrained(repository / "snapshots" / "abc")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc", encoding="utf-8")
    found = load_counter("Own/small")
    assert found.sha256 == load_counter(str(repository / "snapshots" / "abc")).sha256
