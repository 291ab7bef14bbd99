"""Samples as tokens: made once, written to memory-mapped files, found again by what decides their content.

A folder of the cache is named by a hash of the split's bytes, the prompt, the tokenizer and the settings that matter,
and holds `ids.bin` (int32), `learn.bin` (uint8), `offsets.npy`, `prompts.npy`, `rows.npy`, `corpora.npy`,
`labels.npy`, `seconds.npy` and `counts.json`. It is written aside and moved in when it is whole. Work goes in chunks,
so memory doesn't grow with the split.
"""

from __future__ import annotations

import gc
import hashlib
import json
import shutil
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tune.errors import UserError
from tune.prompt import Encoded

if TYPE_CHECKING:
    from tune.config import Config
    from tune.prompt import Prompter
    from tune.reader import Reader
    from tune.runs import Run

#: Part of every key: changes when the same input would make other files.
FORMAT = 1
#: Rows encoded together: enough to keep the cores busy, few enough that memory stays small.
CHUNK = 2048
#: A label that no loss is taken on.
IGNORED = -100

#: The samples of each chunk that are not among the tokens, by why.
LEFT_OUT = ("unlabelled", "dropped", "empty", "special", "rewritten")
COUNTS = "counts.json"

Sample = dict[str, Any]
#: Samples and their lines.
Chunk = list[tuple[int, Sample]]
Report = Callable[[int, int], None]


@dataclass(frozen=True)
class Tokens:
    """N samples of L tokens in all, in the order of the file.

    ids_L int32; learn_L uint8, 1 where a token is learnt (is a target); offsets int64 (N+1); prompts int32 (N), the
    tokens before the answer; rows int32 (N), the sample's line in the split's file, from 0: those left out are
    missing. counts: read = kept + unlabelled + dropped (too long) + empty + special + rewritten (see
    `prompt.Encoded`); of those kept, truncated; tokens, answer_tokens (learnt), unknown_tokens, longest.

    Of a mixture, corpora holds the counts of each corpus up to truncated, and corpus_N which of them a sample is of.
    virtual: how many virtual tokens will stand before each sample in a row (tune/virtual.py); no other figure counts
    them.

    With a head, label_N: each sample's class or score (float64), learnt in the place of its last token; second_N
    (int32): where an encoder's second text begins, the sample's length where there is none. Else both are empty.
    """

    ids_L: np.ndarray
    learn_L: np.ndarray
    offsets: np.ndarray
    prompts: np.ndarray
    rows: np.ndarray
    counts: dict[str, int]
    key: str
    corpora: dict[str, dict[str, int]] = field(default_factory=dict)
    corpus_N: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int16))
    virtual: int = 0
    label_N: np.ndarray = field(default_factory=lambda: np.zeros(0))
    second_N: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))

    @property
    def labelled(self) -> bool:
        """Whether a sample's label is learnt, not tokens."""
        return len(self.label_N) > 0

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each sample, int32 (N)."""
        return np.diff(self.offsets).astype(np.int32)

    @property
    def places(self) -> np.ndarray:
        """Tokens that each sample takes of a row, virtual ones included, int32 (N)."""
        return self.lengths + np.int32(self.virtual)

    def first(self, limit: int | None) -> np.ndarray:
        """The numbers of the first `limit` samples, of a mixture: of each corpus; of all samples without a limit."""
        if limit is None or not self.corpora:
            return np.arange(len(self))[:limit]
        return np.sort(np.concatenate([np.flatnonzero(self.corpus_N == i)[:limit] for i in range(len(self.corpora))]))

    def sample(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """The ids of one sample and where they are learnt."""
        start, stop = self.offsets[i], self.offsets[i + 1]
        return self.ids_L[start:stop], self.learn_L[start:stop]


def tokenise(
    run: Run,
    split: str,
    prompter: Prompter | Reader,
    config: Config,
    cache: Path,
    report: Report | None = None,
) -> Tokens:
    """A split's labelled samples as tokens, from `cache/KEY` where they were made before.

    `report` is told rows done and rows in all. Raises UserError where the template proof fails, a sample is too long
    and `too_long` is "error", or an id is none of the model's.
    """
    key = _key(run, split, prompter, config)
    folder = cache / key
    if (tokens := _load(folder, key)) is not None:
        return tokens
    cache.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f"{key[:16]}-", dir=cache))
    try:
        with _without_gc():
            _write(run, split, prompter, config, aside, report)
        if folder.exists():  # made by another process meanwhile, or broken
            shutil.rmtree(folder)
        aside.replace(folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    tokens = _load(folder, key)
    assert tokens is not None
    return tokens


def dump(run: Run, splits: Sequence[str], prompter: Prompter | Reader, config: Config, cache: Path, file: Path) -> int:
    """Write what is learnt as JSON lines {"id", "split", "tokens", "labels"}, labels[t] being tokens[t] where it is
    learnt and -100 elsewhere; returns the number of samples."""
    written = 0
    with file.open("w", encoding="utf-8") as stream:
        for split in splits:
            tokens = tokenise(run, split, prompter, config, cache)
            rows = enumerate(run.rows(split))
            for i, row in enumerate(tokens.rows.tolist()):
                sample = next(sample for number, sample in rows if number == row)
                ids, learn = tokens.sample(i)
                labels = np.where(learn, ids, IGNORED)
                line = {"id": sample["meta"]["id"], "split": split, "tokens": ids.tolist(), "labels": labels.tolist()}
                stream.write(json.dumps(line, ensure_ascii=False) + "\n")
                written += 1
    return written


# --- making


@contextmanager
def _without_gc() -> Iterator[None]:
    """Millions of small lists, none in a cycle: looking for cycles among them takes a fifth of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _write(
    run: Run, split: str, prompter: Prompter | Reader, config: Config, folder: Path, report: Report | None
) -> None:
    """Tokenise a split into the files of a folder."""
    work = _Work(run, prompter, config)
    tally = Counter(dict.fromkeys(("answer_tokens", "unknown_tokens"), 0))
    sizes, prompts, rows, corpora = [np.zeros(1, np.int64)], [], [], []
    labels, seconds = [np.zeros(0)], [np.zeros(0, np.int32)]
    with (folder / "ids.bin").open("wb") as ids_file, (folder / "learn.bin").open("wb") as learn_file:
        for numbers, places, encoded in work.chunks(run.rows(split)):
            ids, learn = _flat(encoded, config.loss)
            if prompter.vocab_size and ids.max(initial=0) >= prompter.vocab_size:
                raise UserError(
                    f"{run.path}: a token of {split} has id {ids.max()}, the model knows {prompter.vocab_size}; "
                    "the tokenizer is another model's, or the model's embeddings must be resized"
                )
            ids_file.write(ids.data)
            learn_file.write(learn.data)
            sizes.append(np.fromiter((len(sample.ids) for sample in encoded), np.int64, len(encoded)))
            prompts.append(np.fromiter((sample.prompt for sample in encoded), np.int32, len(encoded)))
            rows.append(np.array(numbers, np.int32))
            corpora.append(np.array(places, np.int16))
            with_head = [sample for sample in encoded if sample.label is not None]
            labels.append(np.array([sample.label for sample in with_head], np.float64))
            seconds.append(np.array([sample.second for sample in with_head], np.int32))
            tally["answer_tokens"] += int(learn.sum())
            if prompter.unk_id is not None:
                tally["unknown_tokens"] += int((ids == prompter.unk_id).sum())
            if report:
                report(work.counts()["read"], run.splits[split])
    lengths = np.concatenate(sizes)
    offsets = np.cumsum(lengths)
    work.check(split)
    tally.update(tokens=int(offsets[-1]), longest=int(lengths.max()))
    np.save(folder / "offsets.npy", offsets)
    np.save(folder / "prompts.npy", np.concatenate([np.zeros(0, np.int32), *prompts]))
    np.save(folder / "rows.npy", np.concatenate([np.zeros(0, np.int32), *rows]))
    np.save(folder / "corpora.npy", np.concatenate([np.zeros(0, np.int16), *corpora]))
    np.save(folder / "labels.npy", np.concatenate(labels))
    np.save(folder / "seconds.npy", np.concatenate(seconds))
    counts = {**work.counts(), **tally, "corpora": work.named()}
    (folder / COUNTS).write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")


def most_tokens(prompter: Prompter | Reader, config: Config) -> int:
    """Tokens that a sample may have: max_length, or the positions of the model where it has fewer."""
    return min(config.max_length, prompter.longest or config.max_length)


class _Work:
    """Encodes samples chunk by chunk, leaves out what can't be learnt, and counts it."""

    def __init__(self, run: Run, prompter: Prompter | Reader, config: Config) -> None:
        self._run, self._prompter, self._config = run, prompter, config
        self._most = most_tokens(prompter, config)
        self._longest = (0, "")
        self._places = {part.corpus: i for i, part in enumerate(run.parts)}
        none = dict.fromkeys(("kept", "read", *LEFT_OUT, "truncated"), 0)
        self._counts = [Counter[str](none) for _ in self._places]

    def counts(self) -> dict[str, int]:
        """The counts of `Tokens`, up to truncated."""
        return {key: sum(counts[key] for counts in self._counts) for key in self._counts[0]}

    def named(self) -> dict[str, dict[str, int]]:
        """The counts of each corpus of a mixture; empty for other runs."""
        return {name: dict(self._counts[place]) for name, place in self._places.items() if name}

    def chunks(self, rows: Iterator[Sample]) -> Iterator[tuple[list[int], list[int], list[Encoded]]]:
        """Line numbers, corpora (their places in `run.parts`) and samples of the kept rows of each chunk, in order.

        Two chunks are on their way while one is finished here: the tokenizer works outside Python, so one is rendered
        while the other is encoded.
        """
        numbered, ahead = enumerate(rows), deque[tuple[Chunk, Chunk, Future[list[Encoded]]]]()
        with ThreadPoolExecutor(2) as encoders:
            while True:
                while len(ahead) < 3 and (chunk := list(islice(numbered, CHUNK))):
                    labelled = [(n, sample) for n, sample in chunk if sample["meta"].get("labelled", True)]
                    encoded = encoders.submit(self._prompter.encode, [sample for _, sample in labelled])
                    ahead.append((chunk, labelled, encoded))
                if not ahead:
                    return
                chunk, labelled, encoded = ahead.popleft()
                for _, sample in chunk:
                    self._counts_of(sample)["read"] += 1
                    self._counts_of(sample)["unlabelled"] += not sample["meta"].get("labelled", True)
                yield self._fitted(labelled, encoded.result())

    def _counts_of(self, sample: Sample) -> Counter[str]:
        return self._counts[self._places[self._run.corpus_of(sample)]]

    def _fitted(self, labelled: Chunk, encoded: list[Encoded]) -> tuple[list[int], list[int], list[Encoded]]:
        """The samples that can be learnt, with their line numbers and corpora."""
        numbers, places, kept = [], [], []
        for (number, sample), made in zip(labelled, encoded, strict=True):
            fitted = self._fit(sample, made) if len(made.ids) > self._most else made
            self._counts_of(sample)[fitted.refused or "kept"] += 1
            if not fitted.refused:
                numbers.append(number)
                places.append(self._places[self._run.corpus_of(sample)])
                kept.append(fitted)
        return numbers, places, kept

    def _fit(self, sample: Sample, made: Encoded) -> Encoded:
        """A sample that is too long, with less of its user's text; or refused as "dropped"."""
        self._longest = max(self._longest, (len(made.ids), sample["meta"]["id"]))
        if self._config.too_long != "truncate_prompt":
            return Encoded([], refused="dropped")
        shorter: Sample | None = sample
        while (excess := len(made.ids) - self._most) > 0:
            shorter = self._prompter.shorten(shorter, excess)
            if shorter is None:
                return Encoded([], refused="dropped")
            made = self._prompter.encode([shorter])[0]
        self._counts_of(sample)["truncated"] += not made.refused
        return made

    def check(self, split: str) -> None:
        """Raises UserError where samples are too long and that is an error, or no train sample is left."""
        counts, path, config = self.counts(), self._run.path, self._config
        tokens, longest = self._longest
        if config.too_long == "error" and tokens:
            of = ", ".join(f"{name} {part['dropped']}" for name, part in self.named().items() if part["dropped"])
            which = f"{split} ({of})" if of else split
            longer = "" if self._prompter.longest else f"--set max_length={tokens}, or "
            raise UserError(
                f"{path}: {counts['dropped']} of {counts['read']} samples of {which} have more than "
                f"max_length={self._most} tokens, the longest, {longest}, has {tokens}; "
                f"{longer}--set too_long=drop, or --set too_long=truncate_prompt"
            )
        if split == "train" and not counts["kept"]:
            left_out = ", ".join(f"{counts[reason]} {reason}" for reason in LEFT_OUT if counts[reason])
            raise UserError(
                f"{path}: none of the {counts['read']} samples of train can be learnt "
                f"({left_out or 'it is empty'}); it needs rows with answers, no longer than max_length"
            )


def _flat(encoded: Sequence[Encoded], loss: str) -> tuple[np.ndarray, np.ndarray]:
    """The ids of samples one behind the other, int32, and 1 where they are learnt, uint8."""
    sizes = np.fromiter((len(sample.ids) for sample in encoded), np.int64, len(encoded))
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    total = int(starts[-1])
    ids = np.fromiter(chain.from_iterable(sample.ids for sample in encoded), np.int32, total)
    if loss == "all":
        learn = np.ones(total, np.uint8)
    else:
        spans = np.array(
            [(at + a, at + b) for at, sample in zip(starts.tolist(), encoded, strict=False) for a, b in sample.learn],
            np.int64,
        ).reshape(-1, 2)
        # Spans don't meet within a sample or across: +1 where one begins, -1 behind its end, summed.
        edges = np.zeros(total + 1, np.int8)
        np.add.at(edges, spans[:, 0], 1)
        np.add.at(edges, spans[:, 1], -1)
        learn = np.cumsum(edges[:-1], dtype=np.int8).astype(np.uint8)
    # A sample's first token has nothing before it that could say it.
    learn[starts[:-1]] = 0
    return ids, learn


# --- the cache


def _key(run: Run, split: str, prompter: Prompter | Reader, config: Config) -> str:
    """The hash of all that decides the tokens of a split: its bytes, the prompt, the tokenizer, the settings."""
    with run.file(split).open("rb") as stream:
        content = hashlib.file_digest(stream, "sha256").hexdigest()
    settings = [most_tokens(prompter, config), config.too_long, config.loss]
    said = [FORMAT, content, prompter.sha256, prompter.tokenizer_sha256, prompter.vocab_size, settings]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _load(folder: Path, key: str) -> Tokens | None:
    """The tokens in a folder of the cache; None where there is none, or it is not whole."""
    try:
        counts = json.loads((folder / COUNTS).read_text(encoding="utf-8"))
        names = ("offsets", "prompts", "rows", "corpora", "labels", "seconds")
        arrays = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in names)
        offsets, prompts, rows, corpus_N, label_N, second_N = arrays
        corpora = counts.pop("corpora")
        ids, learn = _map(folder / "ids.bin", np.int32), _map(folder / "learn.bin", np.uint8)
    except (OSError, ValueError, KeyError):
        return None
    whole = len(ids) == len(learn) == int(offsets[-1])
    whole = whole and len(rows) == len(prompts) == len(corpus_N) == len(offsets) - 1
    whole = whole and len(label_N) == len(second_N) and len(label_N) in (0, len(rows))
    arrays = (ids, learn, offsets, prompts, rows, counts, key, corpora, corpus_N)
    return Tokens(*arrays, label_N=label_N, second_N=second_N) if whole else None


def _map(file: Path, kind: type) -> np.ndarray:
    """A file as an array; an empty one can't be mapped."""
    return np.memmap(file, kind, mode="r") if file.stat().st_size else np.zeros(0, kind)
