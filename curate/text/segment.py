"""Chinese word segmentation: jieba's words at twelve times jieba's speed.

jieba-rs (rjieba) ships the same dictionary and cuts the same words as jieba 0.42.1 except in two places, which
`Cutter` mends: it keeps runs of ASCII letters and digits joined by `- _ . + # & %` together (`2008-6-1`), and it
takes Han characters outside U+4E00–U+9FD5 for parts of words, where jieba cuts off each by itself. Such runs are cut
again by jieba's own pattern, and such characters set apart beforehand. `engine="jieba"` is the original, and the
reference in the tests.

rjieba lets go of the interpreter while it cuts, so threads share the cores: no process has to be started and fed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from curate.lazy import pl
from curate.text.distinct import map_distinct, put
from curate.text.shingles import pieces
from curate.types import UserError

#: finalseg's pattern for what is not Han: letters and digits, a decimal part, a percent sign.
_ASCII_WORD = re.compile(r"([a-zA-Z0-9]+(?:\.\d+)?%?)")
_JOINED = re.compile(r"[a-zA-Z0-9][-_+#&.%]|[-_+#&.%][a-zA-Z0-9]")
#: A whole word, with white space around it, of the characters that such runs are made of.
_RUN = re.compile(r"[-a-zA-Z0-9_+#&.%](?<!\S.)[-a-zA-Z0-9_+#&.%]*(?!\S)")
#: Han characters that jieba's pattern leaves out, in Python's notation and in that of polars.
_RARE = re.compile("([\u3400-\u4dbf\u9fd6-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])")
_RARE_HAN = r"\x{3400}-\x{4dbf}\x{9fd6}-\x{9fff}\x{f900}-\x{faff}\x{20000}-\x{3ffff}"
#: White space as Python knows it.
_SPACE = r"\s\x1c-\x1f"
#: Texts without any of these, most of them, can be cut together as they are; an empty text can't.
_LOOK = rf"[{_SPACE}{_RARE_HAN}]|[a-zA-Z0-9][-_+#&.%]|[-_+#&.%][a-zA-Z0-9]|^$"
#: Characters cut in one go: their words are a few megabytes of Python objects for a moment.
_PIECE = 1 << 17


class Cutter:
    """Cuts texts into words. `user_dict` is jieba's format: a word, a frequency, a tag, on one line.

    `cut` is the plain form, of one text; `join` gives the same words of many.
    """

    def __init__(self, engine: str = "rjieba", user_dict: str | None = None) -> None:
        self.cut: Callable[[str], list[str]]
        self._fast: Any = None
        if engine == "jieba":
            self.cut = _jieba(user_dict).lcut
            return
        entries = read_user_dict(user_dict)
        import rjieba

        # Importing rjieba loads its dictionary; an object of our own loads it a second time, for words to be added.
        self._fast = rjieba.Jieba() if entries else rjieba
        for word, frequency, tag in entries:
            self._fast.add_word(word, frequency, tag)
        self.cut = self._cut_mended

    def _cut_mended(self, text: str) -> list[str]:
        words: list[str] = []
        for part in _RARE.split(text):
            for word in self._fast.cut(part):
                words += self._mend(word)
        return words

    def _mend(self, word: str) -> list[str]:
        """jieba's words of one of rjieba's."""
        if word.isalpha() or not _JOINED.search(word) or self._fast.has_word(word):
            return [word]
        return [part for part in _ASCII_WORD.split(word) if part]

    def join(self, texts: pl.Series) -> pl.Series:
        """Each text's words in one string, separated by one space; white space is no word."""
        if self._fast is None:
            joined = [" ".join(" ".join(self.cut(text)).split()) for text in texts]
            return pl.Series(texts.name, joined, dtype=pl.String)
        return map_distinct(texts, self._join_distinct, worth=1).alias(texts.name)

    def _join_distinct(self, texts: pl.Series) -> pl.Series:
        careful = texts.str.contains(_LOOK)
        if not careful.any():
            return self._join_lines(texts)
        where = careful.arg_true()
        spaced = texts.gather(where).str.replace_all(f"([{_RARE_HAN}])", " $1 ")
        spaced = spaced.str.replace_all(f"[{_SPACE}]+", " ").str.strip_chars(" ")
        filled = (spaced != "").arg_true()
        mended = put(spaced, filled, self._join_lines(spaced.gather(filled), self._mend_words))
        plain = (~careful).arg_true()
        return put(put(texts, where, mended), plain, self._join_lines(texts.gather(plain)))

    def _join_lines(self, texts: pl.Series, mend: Callable[[str], str] = str) -> pl.Series:
        """The words of texts that are not empty and hold no white space but single spaces inside.

        Many are cut in one go, a line end between them: jieba cuts at white space first, so no text sees its
        neighbours.
        """
        joined = []
        for _, piece in pieces(texts, _PIECE):
            joined.append(mend(" ".join(self._fast.cut(piece.str.join("\n").item()))))
        return pl.Series(joined, dtype=pl.String).str.split(" \n ").explode()

    def _mend_words(self, words: str) -> str:
        words = _RUN.sub(lambda found: " ".join(self._mend(found[0])), words)
        return words.replace("   ", " ")  # a space between two words was a word by itself


def _jieba(user_dict: str | None) -> Any:
    """jieba itself. It gets no cache file: a shared one is not ours to touch, and one of our own would be left behind
    by a process that is killed."""
    import logging

    import jieba

    jieba.setLogLevel(logging.CRITICAL)
    tokenizer = jieba.Tokenizer()
    tokenizer.tmp_dir = os.devnull  # pyright: ignore[reportAttributeAccessIssue]  (None by default)
    tokenizer.initialize()
    for word, frequency, tag in read_user_dict(user_dict):
        tokenizer.add_word(word, frequency, tag)
    return tokenizer


def read_user_dict(path: str | None) -> list[tuple[str, int | None, str | None]]:
    """The (word, frequency, tag) of a user dictionary. Raises UserError if it can't be read."""
    if not path:
        return []
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: the user dictionary can't be read ({error}); it must be UTF-8 text") from None
    entries: list[tuple[str, int | None, str | None]] = []
    for number, line in enumerate(lines, 1):
        parts = line.split()
        if not parts:
            continue
        word, rest = parts[0], parts[1:]
        frequency = int(rest.pop(0)) if rest and rest[0].isdigit() else None
        if len(rest) > 1:
            raise UserError(f"{path}:{number}: a line is `word [frequency] [tag]`, separated by spaces")
        entries.append((word, frequency, rest[0] if rest else None))
    return entries
