"""The plan: everything about a tuning that can be known before it runs, worked out from lengths and shapes alone.

How many samples, tokens, rows and steps; how long a row is; how much memory at the peak, and what follows from it for
gradient checkpointing; whether compiling pays. Pure: same data, same settings, same machine, same plan. Seconds come
from timing a few rows (tune/timing.py, `timed`), which is kept apart.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tune import memory as mem
from tune.device import Device, size
from tune.errors import UserError
from tune.memory import Setting, Shape
from tune.pack import BLOCK, round_up
from tune.survey import Survey, choose_row_tokens, survey_rows
from tune.timing import Probe, duration

if TYPE_CHECKING:
    from tune.config import Config
    from tune.data import Tokens

#: The largest rows to try, in tokens: first without gradient checkpointing, then with it. A GPU is busy from some
#: 8,192 tokens on, so rows shrink to that before checkpointing, which makes a third more work; a CPU needs none so
#: long.
SIZES = {
    "cuda": ((32768, 16384, 8192), (16384, 8192, 4096, 2048, 1024)),
    "cpu": ((4096, 2048, 1024), (1024,)),
}
#: The share of a corpus's samples that is worth a note when it is dropped.
MUCH = 0.05
#: Arithmetic of a GPU in eager mode, a second: 46,910 tokens/s with LoRA on Qwen3-0.6B, measured on an H100. A slower
#: GPU, which takes longer, has more to gain from compiling than this says.
EAGER_FLOPS = 8e13
#: Compiling costs about half a minute and makes training about twice as fast: it pays from here on (seconds).
COMPILE_FROM = 300


@dataclass(frozen=True)
class Plan:
    """What plan.json holds; the counts are of the train split.

    answer_tokens: learnt tokens. corpora: of a mixture, what became of each corpus, split by split. pack: tokens a
    row. packs: rows of the whole run. most_packs: of its fullest step. fill: real tokens a row token. warmup_steps: in
    which the learning rate rises. parameters, memory: by part; memory["peak"] <= memory["limit"], bytes. seconds: of
    training, about, without compiling; None before a probe.
    """

    run: str
    model: str
    method: str
    device: str
    samples: int
    tokens: int
    answer_tokens: int
    longest: int
    dropped: int
    truncated: int
    unlabelled: int
    splits: dict[str, dict[str, int]]
    corpora: dict[str, dict[str, dict[str, int]]]
    batch: int
    pack: int
    packs: int
    packs_per_step: float
    most_packs: int
    fill: float
    steps: int
    epochs: float
    warmup_steps: int
    parameters: dict[str, int]
    checkpointing: bool
    checkpointing_why: str
    compile: bool
    compile_why: str
    attention: str | None
    memory: dict[str, Any]
    seconds: float | None
    compile_seconds: float | None
    notes: tuple[str, ...]

    def write(self, folder: Path) -> None:
        """plan.json in `folder`."""
        text = json.dumps(asdict(self), ensure_ascii=False, indent=2)
        (folder / "plan.json").write_text(text + "\n", encoding="utf-8")


def make_plan(
    run: str,
    tokens: Mapping[str, Tokens],
    shape: Shape,
    config: Config,
    device: Device,
    *,
    memory: int | None = None,
    attention: str | None = None,
) -> Plan:
    """The plan of training `config` on the tokens of `run`'s train split; other splits must fit its rows too.

    memory: bytes to stay within, instead of all that the device has.

    Raises:
        UserError: nothing to learn from, a row shorter than a sample, or more memory needed than there is.
    """
    train = tokens.get("train")
    if train is None or len(train) == 0:
        raise UserError(f"run {run}: no sample of its train split is left to learn from")
    steps = count_steps(len(train), config)
    compiled, compile_why = _choose_compile(shape, config, device, train, steps)
    choice = _choose(tokens, shape, config, device, memory, compiled, steps)
    survey = choice.survey
    per_epoch = math.ceil(len(train) / config.batch)
    return Plan(
        run=run,
        model=config.model,
        method=config.method,
        device=device.name,
        **_count(train),
        splits={split: {"samples": len(part), **part.counts} for split, part in tokens.items()},
        corpora={split: _count_corpora(part) for split, part in tokens.items() if part.corpora},
        batch=config.batch,
        pack=choice.pack,
        packs=survey.packs,
        packs_per_step=round(survey.packs / steps, 3),
        most_packs=survey.most,
        fill=round(survey.fill, 4),
        steps=steps,
        epochs=round(steps / per_epoch, 4),
        # As tune/optim.py rounds it.
        warmup_steps=math.ceil(config.warmup * steps - 1e-9),
        parameters={"total": shape.total, "trainable": shape.trainable},
        checkpointing=choice.checkpointing,
        checkpointing_why=choice.why,
        compile=compiled,
        compile_why=compile_why,
        attention=attention,
        memory=choice.memory.facts() | {"limit": choice.limit},
        seconds=None,
        compile_seconds=None,
        notes=(*shape.notes, *_method_notes(config, train), *choice.notes, *survey.notes, *_lost(train, config)),
    )


def _count(tokens: Tokens) -> dict[str, int]:
    """A split's counts, from the tokens themselves where they tell."""
    counted = {
        "samples": len(tokens),
        "tokens": int(tokens.lengths.sum(dtype=np.int64)),
        "answer_tokens": int(tokens.learn_L.sum(dtype=np.int64)),
        "longest": int(tokens.lengths.max()),
    }
    return counted | {key: tokens.counts.get(key, 0) for key in ("dropped", "truncated", "unlabelled")}


def _count_corpora(tokens: Tokens) -> dict[str, dict[str, int]]:
    """For each corpus that has rows in a split: samples, tokens, learnt tokens, longest, and what was left out."""
    names, place_N = list(tokens.corpora), tokens.corpus_N
    learnt_N = np.add.reduceat(tokens.learn_L, tokens.offsets[:-1], dtype=np.int64) if len(tokens) else place_N
    found = {}
    for place, name in enumerate(names):
        here = place_N == place
        found[name] = {
            "samples": int(here.sum()),
            "tokens": int(tokens.lengths[here].sum(dtype=np.int64)),
            "answer_tokens": int(learnt_N[here].sum()),
            "longest": int(tokens.lengths[here].max(initial=0)),
            **tokens.corpora[name],
        }
    return {name: counts for name, counts in found.items() if counts["read"]}


def _lost(train: Tokens, config: Config) -> Iterator[str]:
    """The corpora of a mixture that lose much to the length that samples may have: the others may all be short."""
    for name, counts in train.corpora.items():
        dropped, rows = counts["dropped"], counts["read"] - counts["unlabelled"]
        if rows and dropped >= MUCH * rows:
            yield (
                f"{name}: {dropped:,} of {rows:,} train samples have more than max_length={config.max_length} tokens "
                "and are dropped; --set max_length=… keeps them, --set too_long=truncate_prompt shortens them"
            )


def count_steps(samples: int, config: Config) -> int:
    """Optimiser steps of the run; an epoch's last step may have fewer samples than the others."""
    # 0.1 * 30 is a hair above 3.
    return config.steps or max(1, math.ceil(config.epochs * math.ceil(samples / config.batch) - 1e-9))


def _method_notes(config: Config, train: Tokens) -> Iterator[str]:
    if train.virtual:
        yield f"{train.virtual:,} virtual tokens stand before every sample; packs have room for them, tokens are real"
    if _kind(config) == "lora" and (config.dora or config.dropout):
        which = "DoRA's weight norms" if config.dora else "dropout's masks and copies"
        yield f"the memory estimate is of plain LoRA, without {which}"
    if config.method == "qlora":
        yield "the memory estimate leaves out the weights that are unpacked from 4 bits while they are used"


# --- what fits --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Choice:
    pack: int
    checkpointing: bool
    why: str
    memory: mem.Memory
    limit: int
    survey: Survey
    notes: tuple[str, ...] = ()


def _choose(
    tokens: Mapping[str, Tokens],
    shape: Shape,
    config: Config,
    device: Device,
    memory: int | None,
    compiled: bool,
    steps: int,
) -> _Choice:
    """The first of the candidates that fits: long rows before short ones, no gradient checkpointing before it."""
    limit = int(mem.FILL * (memory or device.memory))
    surveys: dict[int, Survey] = {}
    lengths_N = tokens["train"].lengths
    length = float(np.average(lengths_N, weights=lengths_N))
    tried: list[tuple[int, bool, mem.Memory]] = []
    for pack, checkpointing in _candidates(tokens, config, device):
        survey = surveys.get(pack) or survey_rows(tokens["train"], config, pack, steps)
        surveys[pack] = survey
        setting = replace(setting_of(config, device, pack, survey, compiled, checkpointing), length=length)
        estimate = mem.estimate(shape, setting)
        if estimate.peak <= limit:
            why = _why(config, checkpointing, tried)
            first = tried[0][0] if tried else pack
            notes = (f"packs of {pack:,} tokens, not {first:,}, to stay within memory",) if pack < first else ()
            return _Choice(pack, checkpointing, why, estimate, limit, survey, notes)
        tried.append((pack, checkpointing, estimate))
    raise UserError(
        _too_little(min((estimate for *_, estimate in tried), key=lambda e: e.peak), limit, memory, device)
    )


def _candidates(tokens: Mapping[str, Tokens], config: Config, device: Device) -> Iterator[tuple[int, bool]]:
    """(tokens a row, checkpointing), the best first, each once."""
    longest = {split: int(part.places.max()) for split, part in tokens.items() if len(part)}
    split = max(longest, key=lambda name: longest[name])
    plain, checkpointed = SIZES[device.type]
    everything = sorted({*plain, *checkpointed}, reverse=True)
    sizes = {
        "auto": [*((most, False) for most in plain), *((most, True) for most in checkpointed)],
        "on": [(most, True) for most in everything],
        "off": [(most, False) for most in everything],
    }[config.checkpointing]
    if config.pack is not None:
        _check_pack(config.pack, longest[split], split, device)
        rows = [(config.pack, checkpointing) for _, checkpointing in sizes]
    else:
        places_N = tokens["train"].places
        rows = [(choose_row_tokens(places_N, config.batch, most, longest[split]), on) for most, on in sizes]
    yield from dict.fromkeys(rows)


def _check_pack(pack: int, longest: int, split: str, device: Device) -> None:
    if pack < longest:
        raise UserError(
            f"pack: {pack} tokens a row, but {split} has a sample of {longest}; "
            f"give pack={round_up(longest)}, or a max_length of at most {pack}"
        )
    if device.type == "cuda" and pack % BLOCK:
        raise UserError(f"pack: on a GPU a row is whole blocks of {BLOCK} tokens; give pack={round_up(pack)}")


def setting_of(
    config: Config, device: Device, pack: int, survey: Survey, compiled: bool, checkpointing: bool
) -> Setting:
    """The settings' method in rows of `pack` tokens, as the memory estimate takes it."""
    targets = mem.LINEARS
    if not isinstance(config.targets, str) and not config.has_head:
        targets = tuple(name.rsplit(".", 1)[-1] for name in config.targets)
    return Setting(
        row_tokens=pack,
        answers=survey.answers,
        rows=survey.most,
        method=_kind(config),
        dtype=device.dtype,
        device=device.type,
        compiled=compiled,
        checkpointing=checkpointing,
        rank=config.r,
        targets=targets,
        adapters=1 if config.placement == "pfeiffer" else 2,
        bottleneck=config.bottleneck,
        prefix=config.virtual_tokens,
        trained_layers=config.layers if config.method == "freeze" else None,
    )


def _kind(config: Config) -> str:
    """How the method trains, as far as memory goes."""
    from tune.methods import METHODS

    return METHODS[config.method].kind


def _why(config: Config, checkpointing: bool, tried: list[tuple[int, bool, mem.Memory]]) -> str:
    if config.checkpointing != "auto":
        return "as asked for"
    if not checkpointing:
        return "everything fits"
    pack, _, without = next(reversed([entry for entry in tried if not entry[1]]))
    return f"without it, packs of {pack:,} tokens would need {size(without.peak)}"


def _too_little(least: mem.Memory, limit: int, memory: int | None, device: Device) -> str:
    parts = sorted(least.parts.items(), key=lambda part: -part[1])[:3]
    named = ", ".join(f"{part} {size(bytes_)}" for part, bytes_ in parts)
    whose = "of --memory" if memory else f"of {device.name}"
    return (
        f"too little memory for the plan: it needs {size(least.peak)} ({named}) and may use {size(limit)} "
        f"({mem.FILL:.0%} {whose}); take a smaller max_length or pack, checkpointing=on, another method or model"
    )


def _choose_compile(shape: Shape, config: Config, device: Device, train: Tokens, steps: int) -> tuple[bool, str]:
    """Whether each layer is compiled: where asked for, or on a GPU when the run would otherwise last minutes."""
    if config.compile != "auto":
        return config.compile == "on", "as asked for"
    if device.type != "cuda":
        return False, "pays only on a GPU"
    tokens = float(train.places.mean()) * min(config.batch, len(train)) * steps
    seconds = tokens * _flops(shape, _kind(config)) / EAGER_FLOPS
    if seconds < COMPILE_FROM:
        return False, "the run is too short for it to pay"
    return True, f"the run would last about {duration(seconds)} without it"


def _flops(shape: Shape, method: str) -> float:
    """Floating-point operations a token, of the layers' matrix products: 2 forward and 2 for the inputs' gradients a
    weight, and 2 more for the gradient of a weight that trains. (Kaplan et al. 2020, arXiv:2001.08361, section 2.1)
    """
    q, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    weights = shape.layers * shape.hidden * (2 * q + 2 * kv + 3 * shape.intermediate)
    return (6 if method == "full" else 4) * weights


def timed(plan: Plan, measured: Probe) -> Plan:
    """The plan with about how many seconds training will take; evaluation is not in it, compiling apart."""
    return replace(
        plan,
        seconds=round(plan.packs * measured.row, 1),
        compile_seconds=round(measured.start, 1) if plan.compile else None,
    )
