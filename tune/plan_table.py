"""The plan as people read it: a table of two columns, and its notes."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tune.device import size
from tune.timing import duration

if TYPE_CHECKING:
    from tune.plan import Plan

#: What became of samples, by the keys of `Tokens.counts`, in the words of the table.
COUNTS = (
    ("truncated", "of them shortened"),
    ("dropped", "dropped as too long"),
    ("unlabelled", "without a label"),
    ("empty", "without an answer"),
    ("special", "with special tokens in the answer"),
    ("rewritten", "rewritten by the chat template"),
)


def print_plan(plan: Plan, file: Any = None) -> None:
    """Print the plan as a table of two columns, and its notes."""
    out = file or sys.stdout
    rows = list(_lines(plan))
    if out.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in rows:
            # Text, not str: rich would read [brackets] as markup.
            table.add_row(Text(name), Text(value))
        Console(file=out, highlight=False).print(table)
    else:
        width = max(len(name) for name, _ in rows)
        for name, value in rows:
            print(f"{name:<{width}}  {value}", file=out)
    for note in plan.notes:
        print(f"note: {note}", file=out)


def _lines(plan: Plan) -> Iterator[tuple[str, str]]:
    objective = f", objective {plan.objective}" if plan.objective != "sft" else ""
    yield "model", f"{plan.model}, method {plan.method}{objective}, on {plan.device}"
    yield "samples", f"{plan.samples:,}{_left_out(plan.splits['train'])}"
    for corpus, counts in plan.corpora.get("train", {}).items():
        # A short answer weighs little in the loss, however many samples have one.
        rows, learnt = counts["samples"] / plan.samples, counts["answer_tokens"] / plan.answer_tokens
        shares = f"; {rows:.1%} of the samples, {learnt:.1%} of the learnt tokens, longest {counts['longest']:,}"
        yield f"  {corpus}", f"{counts['samples']:,}{_left_out(counts)}{shares if counts['samples'] else ''}"
    share = plan.answer_tokens / plan.tokens
    learnt = f"{plan.answer_tokens:,} learnt ({share:.0%})" if not objective else "a label for each sample"
    yield "tokens", f"{plan.tokens:,} (longest sample {plan.longest:,}), {learnt}"
    for split, counts in plan.splits.items():
        if split != "train":
            yield split, f"{counts['samples']:,} samples"
            for corpus, part in plan.corpora.get(split, {}).items():
                yield f"  {corpus}", f"{part['samples']:,}{_left_out(part)}"
    a_step = f"{plan.packs_per_step:.3g} a step of {plan.batch} samples"
    yield "packs", f"{plan.packs:,} of {plan.pack:,} tokens, {a_step}, {plan.fill:.0%} full"
    yield "steps", f"{plan.steps:,} ({plan.epochs:.4g} epochs), {plan.warmup_steps:,} of warm-up"
    total, trainable = plan.parameters["total"], plan.parameters["trainable"]
    yield "parameters", f"{trainable:,} of {total:,} trainable ({trainable / total:.2%})"
    if plan.attention:
        yield "attention", plan.attention
    yield "checkpointing", f"{'on' if plan.checkpointing else 'off'}: {plan.checkpointing_why}"
    yield "compile", f"{'on' if plan.compile else 'off'}: {plan.compile_why}"
    peak, limit = size(plan.memory["peak"]), size(plan.memory["limit"])
    yield "memory", f"about {peak} of {limit} at the peak ({plan.memory['moment']})"
    for part, bytes_ in plan.memory["parts"].items():
        if bytes_:
            yield f"  {part}", size(bytes_)
    if plan.seconds is not None:
        compiling = f", and {duration(plan.compile_seconds)} to compile" if plan.compile_seconds is not None else ""
        yield "time", f"about {duration(plan.seconds)} of training{compiling}"


def _left_out(counts: Mapping[str, int]) -> str:
    return "".join(f", {counts[key]:,} {what}" for key, what in COUNTS if counts.get(key))
