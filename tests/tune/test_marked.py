"""What is shown of a row is its text, all of it, and the marks stand around what is learnt."""

from __future__ import annotations

import io
import itertools
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tune.data import Tokens
from tune.marked import pack_spans, print_pack, sample_spans

TEXT = "<|im_start|>user\n意思相同吗？😀 a b<|im_end|>\n<|im_start|>assistant\n不同<|im_end|>"


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """Bytes as tokens: a Chinese character takes three, an emoji four."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({char: i for i, char in enumerate(alphabet)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=made)
    fast.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    return fast


def tokens_of(samples: list[tuple[list[int], int]], lines: list[int]) -> Tokens:
    """Samples as (ids, how many of the last are learnt)."""
    offsets = np.concatenate([[0], np.cumsum([len(ids) for ids, _ in samples])])
    learn = [np.arange(len(ids)) >= len(ids) - n for ids, n in samples]
    return Tokens(
        np.concatenate([ids for ids, _ in samples]).astype(np.int32),
        np.concatenate(learn).astype(np.uint8),
        offsets,
        np.array([len(ids) - n for ids, n in samples], dtype=np.int32),
        np.array(lines, dtype=np.int32),
        {},
        "key",
    )


def test_a_sample_is_shown_whole_with_its_special_tokens(tokenizer: Any) -> None:
    ids = np.array(tokenizer(TEXT)["input_ids"])
    learn = np.zeros(len(ids), dtype=np.uint8)
    learn[-7:] = 1  # two characters of three bytes, and the end
    spans = list(sample_spans(ids, learn, tokenizer))
    assert "".join(text for text, _ in spans) == TEXT
    assert spans[-1] == ("不同<|im_end|>", True) and [learnt for _, learnt in spans] == [False, True]


@given(cuts=st.lists(st.booleans(), min_size=200, max_size=200))
def test_cuts_anywhere_lose_nothing(tokenizer: Any, cuts: list[bool]) -> None:
    """Even within a character, where its bytes show as replacement characters: every whole character stands there."""
    ids = np.array(tokenizer(TEXT)["input_ids"])
    learn = np.array(cuts[: len(ids)], dtype=np.uint8)
    spans = list(sample_spans(ids, learn, tokenizer))
    shown = "".join(text for text, _ in spans)
    assert re.sub("[^ -~]", "", shown) == re.sub("[^ -~]", "", TEXT)
    assert all(a != b for (_, a), (_, b) in itertools.pairwise(spans))
    if not cuts[0] and True not in cuts[: len(ids)]:
        assert shown == TEXT


def test_a_space_that_a_decoder_swallows_is_kept() -> None:
    made = Tokenizer(models.WordLevel({"▁a": 0, "▁b": 1, "<unk>": 2}, unk_token="<unk>"))
    made.decoder = decoders.Metaspace()
    fast = PreTrainedTokenizerFast(tokenizer_object=made)
    assert fast.decode([1]) == "b"
    assert list(sample_spans(np.array([0, 1]), np.array([0, 1]), fast)) == [("a", False), (" b", True)]


def test_the_first_samples_whole_and_the_rest_counted(tokenizer: Any) -> None:
    ids = tokenizer(TEXT)["input_ids"]
    n = len(ids)
    tokens = tokens_of([(ids, 7), (ids, 1), (ids, 7), (ids, 3)], lines=[4, 0, 9, 2])
    out = io.StringIO()
    print_pack(tokens, np.array([2, 0, 3, 1]), 1024, tokenizer, shown=2, file=out)
    asked, answered = TEXT.removesuffix("不同<|im_end|>"), "⟦不同<|im_end|>⟧"
    assert out.getvalue().split("\n--- ") == [
        f"one pack: 4 samples, {4 * n} of 1,024 tokens; what is learnt is ⟦marked⟧",
        f"1 of 4: line 10, {n} tokens, 7 learnt\n{asked}{answered}",
        f"2 of 4: line 5, {n} tokens, 7 learnt\n{asked}{answered}",
        f"2 more samples: {2 * n} tokens, 4 learnt",
        f"{1024 - 4 * n} tokens of padding\n",
    ]


def test_a_row_of_few_samples_has_no_rest(tokenizer: Any) -> None:
    tokens = tokens_of([(tokenizer("好")["input_ids"], 1)], lines=[0])
    text = "".join(piece for piece, _ in pack_spans(tokens, np.array([0]), 128, tokenizer))
    assert "more samples" not in text and text.endswith("--- 125 tokens of padding")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours_on_a_terminal(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = Terminal()
    ids = tokenizer("[问]不同<|im_end|>")["input_ids"]
    print_pack(tokens_of([(ids, 7)], lines=[0]), np.array([0]), 128, tokenizer, file=out)
    text = out.getvalue()
    assert "[问]" in text and "⟦" not in text
    assert "\x1b[1;32m不同<|im_end|>\x1b[0m" in text
