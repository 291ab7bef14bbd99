"""Chinese word segmentation: jieba's words at twelve times jieba's speed, in as many processes as asked for.

jieba-rs (rjieba) ships the same dictionary and cuts the same words as jieba 0.42.1 except in two places, which
`Cutter` repairs: it keeps runs of ASCII letters and digits joined by `- _ . + # & %` together (`2008-6-1`), and it
treats Han characters outside U+4E00–U+9FD5 differently. Such runs are cut again by jieba's own pattern; lines with
such characters go to jieba itself. `engine="jieba"` is the original, and the reference in the tests.
"""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, lru_cache
from pathlib import Path
from typing import IO, Any

from curate.types import UserError

#: finalseg's pattern for what is not Han: letters and digits, a decimal part, a percent sign.
_ASCII_WORD = re.compile(r"([a-zA-Z0-9]+(?:\.\d+)?%?)")
_JOINED = re.compile(r"[a-zA-Z0-9][-_+#&.%]|[-_+#&.%][a-zA-Z0-9]")
_RARE_HAN = "\u3400-\u4dbf\u9fd6-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_RARE = re.compile(f"[{_RARE_HAN}]")
#: One cheap look decides that a text needs no repair and holds no white space: most texts are like that.
_LOOK = re.compile(f"[-_+#&.%\\s{_RARE_HAN}]")

#: Texts that a worker process is handed at a time; fewer than this are cut where they are.
CHUNK = 4096


class Cutter:
    """Cuts one text into words. `user_dict` is jieba's format: a word, a frequency, a tag, on one line."""

    def __init__(self, engine: str = "rjieba", user_dict: str | None = None) -> None:
        self._user_dict = user_dict
        self.cut: Callable[[str], list[str]]
        self._fast: Any = None
        if engine == "jieba":
            self.cut = self._jieba().lcut
            return
        entries = read_user_dict(user_dict)
        import rjieba

        # Importing rjieba loads its dictionary; an object of our own loads it a second time, for words to be added.
        self._fast = rjieba.Jieba() if entries else rjieba
        for word, frequency, tag in entries:
            self._fast.add_word(word, frequency, tag)
        self.cut = self._cut_repaired

    @lru_cache(maxsize=1)  # noqa: B019 (one cutter lives as long as the process)
    def _jieba(self) -> Any:
        """jieba itself, loaded when first needed. It gets no cache file: a shared one is not ours to touch, and one of
        our own would be left behind by a process that is killed."""
        import logging

        import jieba

        jieba.setLogLevel(logging.CRITICAL)
        tokenizer = jieba.Tokenizer()
        tokenizer.tmp_dir = os.devnull  # pyright: ignore[reportAttributeAccessIssue]  (None by default)
        tokenizer.initialize()
        for word, frequency, tag in read_user_dict(self._user_dict):
            tokenizer.add_word(word, frequency, tag)
        return tokenizer

    def _cut_repaired(self, text: str) -> list[str]:
        if not _LOOK.search(text):
            return self._fast.cut(text)
        if _RARE.search(text):
            return self._jieba().lcut(text)
        words: list[str] = self._fast.cut(text)
        if not _JOINED.search(text):
            return words
        repaired: list[str] = []
        for word in words:
            # Letters alone, as nearly all words are, hold none of the signs: far cheaper to ask than a pattern.
            if not word.isalpha() and _JOINED.search(word) and not self._fast.has_word(word):
                repaired.extend(part for part in _ASCII_WORD.split(word) if part)
            else:
                repaired.append(word)
        return repaired

    def join(self, texts: list[str]) -> list[str]:
        """Each text's words in one string, separated by one space.

        Texts without white space that need no repair, nearly all, are cut in one go, a line end between them: jieba
        cuts at white space first, so no text sees its neighbours.
        """
        if self._fast is None:
            return [self._join_one(text) for text in texts]
        careful = {i: self._join_one(text) for i, text in enumerate(texts) if not text or _LOOK.search(text)}
        rest = texts if not careful else [text for i, text in enumerate(texts) if i not in careful]
        joined = iter(" ".join(self._fast.cut("\n".join(rest))).split(" \n ") if rest else ())
        return [careful[i] if i in careful else next(joined) for i in range(len(texts))]

    def _join_one(self, text: str) -> str:
        return " ".join(" ".join(self.cut(text)).split())


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


class CutterPool:
    """Cuts texts in worker processes, in order. The children import neither polars nor the caller's main module."""

    def __init__(self, engine: str, user_dict: str | None, workers: int) -> None:
        self._arguments = [engine, user_dict or ""]
        self._workers = workers
        self._children: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()

    @cached_property
    def _here(self) -> Cutter:
        """The cutter of this process, loaded when there is something it has to cut."""
        engine, user_dict = self._arguments
        return Cutter(engine, user_dict or None)

    def join(self, texts: list[str]) -> list[str]:
        """`Cutter.join` of each distinct text, spread over the workers when there is enough to do."""
        distinct = list(dict.fromkeys(texts))
        if len(distinct) == len(texts):
            return self._join(texts)
        joined = dict(zip(distinct, self._join(distinct), strict=True))
        return [joined[text] for text in texts]

    def _join(self, texts: list[str]) -> list[str]:
        if self._workers < 2 or len(texts) < 4 * CHUNK:
            return self._here.join(texts)
        with self._lock:  # slices are worked on in threads; the pipes are for one at a time
            return self._join_in_children(texts)

    def _join_in_children(self, texts: list[str]) -> list[str]:
        if not self._children:
            command = [sys.executable, "-m", "curate.text.segment", *self._arguments]
            pipe = subprocess.PIPE
            # A process group of their own: Ctrl-C at a terminal must not hit them, least of all while they start.
            self._children = [
                subprocess.Popen(command, stdin=pipe, stdout=pipe, process_group=0) for _ in range(self._workers)
            ]
        chunks = [texts[i : i + CHUNK] for i in range(0, len(texts), CHUNK)]

        def work(number: int) -> list[tuple[int, list[str]]]:
            child = self._children[number]
            assert child.stdin and child.stdout
            done = []
            for i in range(number, len(chunks), self._workers):
                if any("\0" in text for text in chunks[i]):  # what stands between texts on the pipe
                    done.append((i, self._here.join(chunks[i])))
                    continue
                _send(child.stdin, chunks[i])
                done.append((i, _receive(child.stdout)))
            return done

        with ThreadPoolExecutor(self._workers) as threads:
            parts = [part for parts in threads.map(work, range(self._workers)) for part in parts]
        return [line for _, lines in sorted(parts) for line in lines]

    def close(self) -> None:
        for child in self._children:
            assert child.stdin and child.stdout
            child.stdin.close()
            child.stdout.close()
            child.wait()
        self._children = []


def _send(stream: IO[bytes], texts: list[str]) -> None:
    """A length, then the texts with NULs between them: no text holds one."""
    data = "\0".join(texts).encode("utf-8", "surrogatepass")
    stream.write(struct.pack("<Q", len(data)) + data)
    stream.flush()


def _receive(stream: IO[bytes]) -> list[str]:
    head = stream.read(8)
    if len(head) < 8:
        raise EOFError
    return stream.read(struct.unpack("<Q", head)[0]).decode("utf-8", "surrogatepass").split("\0")


def _serve(engine: str, user_dict: str) -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle; our pipe then closes
    cutter = Cutter(engine, user_dict or None)
    while True:
        try:
            texts = _receive(sys.stdin.buffer)
        except EOFError:
            return
        _send(sys.stdout.buffer, cutter.join(texts))


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2])
