"""What a text is like, in numbers that need no model: repetition, script, garbled characters, boilerplate."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from curate.lazy import pl

#: Fewer characters than this in a row are writing as usual: ……, 哈哈哈哈, ————.
RUN = 5
_RUN = re.compile(rf"([^\s])\1{{{RUN - 1},}}")
#: Strings that are looked for again are so long; a text of fewer characters than `PHRASES` has too few to tell.
GRAM = 5
PHRASES = 20

#: U+FFFD, private use, C1 controls; what GBK makes of U+FFFD or of unset memory; UTF-8 read as Latin-1 or as GBK.
GARBLED = (
    r"[\x{fffd}\x{e000}-\x{f8ff}\x{80}-\x{9f}]|锟斤拷|斤拷锟|烫烫烫|屯屯屯|[ÃÂâåäæçèéï][\x{80}-\x{bf}]{1,2}|"
    "[锛銆鈥鐨鍙鏄浠鍦杩鎴鍚鎵]{2}|锛[氱屼]|銆[併傚]|鈥[滄]|鐨[勶]"
)
_SENTENCE = re.compile(r"(?<=[。！？!?\n])")


def repeated_characters(text: str, least: float = 0.0) -> float:
    """The share of a text's characters in runs of `RUN` or more of the same one; 0 where that can't exceed `least`."""
    # A run brings one distinct character for `RUN` or more: with so many distinct ones, most stand in none.
    if len(set(text)) > len(text) * (1 - least * (RUN - 1) / RUN):
        return 0.0
    found = sum(len(run[0]) for run in _RUN.finditer(text))
    return found / len(text) if found else 0.0


def repeated_phrases(text: str, least: float = 0.0) -> float:
    """The share of a text's `GRAM`-character strings that stand in it before; 0 where it can't exceed `least`."""
    grams = len(text) - GRAM + 1
    # Every distinct character but the last few begins a string of its own.
    if len(text) < PHRASES or len(set(text)) - GRAM + 1 > (1 - least) * grams:
        return 0.0
    return 1 - len({text[i : i + GRAM] for i in range(grams)}) / grams


def han_share(text: pl.Expr) -> pl.Expr:
    """The share of Han characters among those that are no white space; 1 where there are none."""
    shown = text.str.count_matches(r"\S")
    return pl.when(shown > 0).then(text.str.count_matches(r"\p{Han}") / shown).otherwise(1.0)


def garbled_share(text: pl.Expr) -> pl.Expr:
    """Signs of a wrong decoding, a character of text."""
    return text.str.count_matches(GARBLED) / text.str.len_chars()


@lru_cache(maxsize=1)
def boilerplate_phrases() -> list[str]:
    """The phrases of boilerplate.txt."""
    lines = Path(__file__).with_name("boilerplate.txt").read_text(encoding="utf-8").split("\n")
    return [line for line in lines if line and not line.startswith("#")]


def boilerplate_share(text: str) -> float:
    """The share of a text's characters that stand in sentences or lines with a phrase of boilerplate.

    One phrase alone is no sign: 怎么扫描二维码 is a question.
    """
    phrases = [phrase for phrase in boilerplate_phrases() if phrase in text]
    if len(phrases) < 2:
        return 0.0
    pieces = (piece for piece in _SENTENCE.split(text) if any(phrase in piece for phrase in phrases))
    return sum(map(len, pieces)) / len(text)
