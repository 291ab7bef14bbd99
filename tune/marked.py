"""One row as it will be learnt: its first samples decoded, special tokens and all, with the learnt tokens marked."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tune.data import Tokens

#: Around what is learnt, where there are no colours.
OPEN, CLOSE = "⟦", "⟧"
#: How many samples of the row are shown. They are shown whole.
SHOWN = 3

#: Text, and whether it is learnt.
Span = tuple[str, bool]


def print_pack(
    tokens: Tokens, samples: np.ndarray, row_tokens: int, tokenizer: Any, *, shown: int = SHOWN, file: Any = None
) -> None:
    """Print the row of `row_tokens` tokens that holds `samples`, in colour on a terminal."""
    out = file or sys.stdout
    text = pack_spans(tokens, samples, row_tokens, tokenizer, shown)
    if out.isatty():
        from rich.console import Console
        from rich.text import Text

        marked = Text.assemble(*((piece, "bold green" if learnt else "") for piece, learnt in text))
        Console(file=out, highlight=False).print(marked)
    else:
        print("".join(f"{OPEN}{piece}{CLOSE}" if learnt else piece for piece, learnt in text), file=out)


def pack_spans(
    tokens: Tokens, samples: np.ndarray, row_tokens: int, tokenizer: Any, shown: int = SHOWN
) -> Iterator[Span]:
    """The first `shown` of a row's samples (numbers into `tokens`), whole, each under a heading; the rest counted."""
    lengths = tokens.lengths[samples].tolist()
    learnt = [int(tokens.sample(int(sample))[1].sum()) for sample in samples]
    labelled = getattr(tokens, "labelled", False)
    used, n = sum(lengths), len(samples)
    virtual = f" and {tokens.virtual:,} virtual ones before each" if tokens.virtual else ""
    yield f"one pack: {n:,} samples, {used:,} of {row_tokens:,} tokens{virtual}; what is learnt is ", False
    yield "marked", True
    yield "\n", False
    for i, sample in enumerate(map(int, samples[:shown])):
        line = int(tokens.rows[sample]) + 1
        yield f"--- {i + 1} of {n:,}: line {line:,}, {lengths[i]:,} tokens{_learnt(learnt[i], labelled)}\n", False
        if labelled:
            yield from sample_spans(tokens.sample(sample)[0], np.zeros(lengths[i], np.uint8), tokenizer)
            yield from ((" → ", False), (f"label {tokens.label_N[sample]:g}", True))
        else:
            yield from sample_spans(*tokens.sample(sample), tokenizer)
        yield "\n", False
    if n > shown:
        rest = f"{n - shown:,} more samples: {sum(lengths[shown:]):,} tokens{_learnt(sum(learnt[shown:]), labelled)}"
        yield f"--- {rest}\n", False
    yield f"--- {row_tokens - used - n * tokens.virtual:,} tokens of padding", False


def _learnt(count: int, labelled: bool) -> str:
    return "" if labelled else f", {count:,} learnt"


def sample_spans(ids_L: np.ndarray, learn_L: np.ndarray, tokenizer: Any) -> Iterator[Span]:
    """A sample's text, special tokens included, cut where learning starts and stops.

    A span's text is what its tokens add to the text before them, because many tokenizers swallow a space at the start
    of whatever they decode.
    """
    ids = ids_L.tolist()
    cuts = (np.flatnonzero(np.diff(learn_L)) + 1).tolist()
    before = ""
    for start, end in zip([0, *cuts], [*cuts, len(ids)], strict=True):
        text = tokenizer.decode(ids[:end], skip_special_tokens=False, clean_up_tokenization_spaces=False)
        if not text.startswith(before):
            # The cut goes through a character of several tokens, which shows as a replacement character on each side.
            text = before + tokenizer.decode(ids[start:end], skip_special_tokens=False)
        yield text[len(before) :], bool(learn_L[start])
        before = text
